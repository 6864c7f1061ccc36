// From an integer sum to an 8-bit number (tt_requantize).
#ifndef TINYTL_ENGINE_KERNELS_PORTABLE_REQUANTIZE_H_
#define TINYTL_ENGINE_KERNELS_PORTABLE_REQUANTIZE_H_

#include <string.h>

#include "engine/kernels/portable/portable.h"

static inline int32_t tt_limited(int32_t v, int32_t low, int32_t high) {
  v = v < low ? low : v;
  return v > high ? high : v;
}

// The nearest whole number within [low, high], ties to even; NaN gives low. |low|, |high| < 2^22:
// adding 1.5 * 2^23 leaves no room for a fraction.
static inline int32_t tt_nearest(float v, float low, float high) {
  const float magic = 12582912.0f;
  v = v > low ? v : low;
  v = v < high ? v : high;
  return (int32_t)((v + magic) - magic);
}

// sum + bias, at most what an int32 holds: the bias of a dead channel may be its least number.
static inline int32_t tt_biased(int32_t sum, const int32_t* bias, int32_t channel) {
  int64_t total = (int64_t)sum + (bias ? bias[channel] : 0);
  total = total < INT32_MIN ? INT32_MIN : total;
  return (int32_t)(total > INT32_MAX ? INT32_MAX : total);
}

// Exactly round(sum * m), ties up, of a finite m >= 0 in integers: its 24 bits of mantissa as a
// multiplier of 31 bits, and a shift (Jacob et al., CVPR 2018). Limited to [low, high].
static inline int32_t tt_fixed_product(int32_t sum, float m, int32_t low, int32_t high) {
  uint32_t bits;
  memcpy(&bits, &m, sizeof bits);
  const int32_t exponent =
      (int32_t)(bits >> 23) - 126;  // m = mantissa * 2^exponent, 1/2 <= mantissa
  const int64_t product = (int64_t)sum * (int64_t)((bits & 0x7fffff) | 0x800000) * 128;
  const int32_t shift = 31 - exponent;
  if (shift > 62) return tt_limited(0, low, high);
  if (shift < 1) return sum == 0 ? tt_limited(0, low, high) : sum < 0 ? low : high;
  const int64_t rounded = (product + ((int64_t)1 << (shift - 1))) >> shift;
  if (rounded < low) return low;
  return rounded > high ? high : (int32_t)rounded;
}

// The element of y of that channel, from the sum of its products without the bias.
static inline int8_t tt_requantized(const tt_requantize* q, int32_t sum, int32_t channel) {
  const float m = q->scale ? q->factor * q->scale[channel] : q->factor;
  const int32_t total = tt_biased(sum, q->bias, channel);
  const int32_t low = q->low - q->y_zero, high = q->high - q->y_zero;
  const int32_t level = q->fixed_point ? tt_fixed_product(total, m, low, high)
                                       : tt_nearest((float)total * m, (float)low, (float)high);
  return (int8_t)(q->y_zero + level);
}

#endif  // TINYTL_ENGINE_KERNELS_PORTABLE_REQUANTIZE_H_

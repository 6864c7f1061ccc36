// The 8-bit numbers of tt_adam8: what the portable kernel and the vector ones share.
//
// A number x in [0, 2) is the code c of M mantissa bits such that x + 2^-15 has the bits (c + (112
// << M)) << (23 - M) as a float: floating point with 4 exponent bits, even steps around 0, and no
// table.
#ifndef TINYTL_ENGINE_KERNELS_PORTABLE_ADAM8_H_
#define TINYTL_ENGINE_KERNELS_PORTABLE_ADAM8_H_

#include <string.h>

#include "engine/kernels/kernels.h"

enum {
  TT_ADAM8_MEAN_BITS = 3,  // of mantissa; the eighth bit is the sign
  TT_ADAM8_ROOT_BITS = 4,
  TT_ADAM8_EXPONENT = 112,  // of 2^-15 as a float
};

static const float kTtAdam8Shift = 1.0f / 32768;
// What code 0 of a root stands for: below any other, but not 0, which would make steps without end.
static const float kTtAdam8LeastRoot = 1.0f / (32768 * 32);

static inline uint32_t tt_float_bits(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static inline float tt_float_of_bits(uint32_t bits) {
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// The power of two from which on the numbers of a block are codes, and the factor that undoes it.
static inline float tt_adam8_scale(float most) {
  return tt_float_of_bits(tt_float_bits(most) & 0x7f800000u);
}
static inline float tt_adam8_inverse(float scale) { return scale > 0.0f ? 1.0f / scale : 0.0f; }

// Differs from step to step.
static inline uint32_t tt_adam8_salt(const tt_adam_step* s) {
  return tt_float_bits(s->correction1) * 0x85ebca6bu ^ tt_float_bits(s->correction2);
}

#endif  // TINYTL_ENGINE_KERNELS_PORTABLE_ADAM8_H_

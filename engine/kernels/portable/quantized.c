// Layers of 8-bit integers. Sums are int32 and exact, so their order does not matter.
#include "engine/kernels/portable/requantize.h"

// Channels whose sums are in registers or on the stack at a time.
enum { kBlock = 16 };

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

// sums[j] += v * w[j]
static void add_products(int32_t n, int32_t v, const int8_t* restrict w, int32_t* restrict sums) {
  for (int32_t j = 0; j < n; ++j) sums[j] += v * w[j];
}

// One pixel of y, of the output channels [from, from + n) of one group.
static void conv2d_pixel(const tt_conv2d_shape* s, const tt_requantize* q, const int8_t* image,
                         const int8_t* w, int32_t oh, int32_t ow, int32_t from, int32_t n,
                         int8_t* y) {
  const int32_t in_c = s->in_c / s->groups, first = from / (s->out_c / s->groups) * in_c;
  int32_t sums[kBlock] = {0};
  for (int32_t kh = 0; kh < s->kernel_h; ++kh) {
    const int32_t ih = oh * s->stride_h - s->pad_top + kh * s->dilation_h;
    if (ih < 0 || ih >= s->in_h) continue;
    for (int32_t kw = 0; kw < s->kernel_w; ++kw) {
      const int32_t iw = ow * s->stride_w - s->pad_left + kw * s->dilation_w;
      if (iw < 0 || iw >= s->in_w) continue;
      const int8_t* x = image + ((int64_t)ih * s->in_w + iw) * s->in_c + first;
      const int8_t* tap = w + ((int64_t)kh * s->kernel_w + kw) * in_c * s->out_c + from;
      for (int32_t c = 0; c < in_c; ++c) {
        add_products(n, x[c] - q->x_zero, tap + (int64_t)c * s->out_c, sums);
      }
    }
  }
  for (int32_t j = 0; j < n; ++j) y[j] = tt_requantized(q, sums[j], from + j);
}

void tt_conv2d_q8(const tt_conv2d_shape* s, const tt_requantize* q, const int8_t* x,
                  const int8_t* w, int8_t* y) {
  const int32_t group = s->out_c / s->groups;
  const int64_t pixels = (int64_t)s->batch * s->out_h * s->out_w;
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    const int32_t ow = (int32_t)(pixel % s->out_w), oh = (int32_t)(pixel / s->out_w % s->out_h);
    const int64_t image = pixel / ((int64_t)s->out_h * s->out_w);
    for (int32_t from = 0; from < s->out_c;) {
      const int32_t n = least(kBlock, (from / group + 1) * group - from);
      conv2d_pixel(s, q, x + image * s->in_h * s->in_w * s->in_c, w, oh, ow, from, n,
                   y + pixel * s->out_c + from);
      from += n;
    }
  }
}

// One pixel of y, of the channels [from, from + n).
static void depthwise_pixel(const tt_conv2d_shape* s, const tt_requantize* q, const int8_t* image,
                            const int8_t* w, int32_t oh, int32_t ow, int32_t from, int32_t n,
                            int8_t* y) {
  int32_t sums[kBlock] = {0};
  for (int32_t kh = 0; kh < s->kernel_h; ++kh) {
    const int32_t ih = oh * s->stride_h - s->pad_top + kh * s->dilation_h;
    if (ih < 0 || ih >= s->in_h) continue;
    for (int32_t kw = 0; kw < s->kernel_w; ++kw) {
      const int32_t iw = ow * s->stride_w - s->pad_left + kw * s->dilation_w;
      if (iw < 0 || iw >= s->in_w) continue;
      const int8_t* x = image + ((int64_t)ih * s->in_w + iw) * s->in_c + from;
      const int8_t* tap = w + ((int64_t)kh * s->kernel_w + kw) * s->in_c + from;
      for (int32_t j = 0; j < n; ++j) sums[j] += (x[j] - q->x_zero) * tap[j];
    }
  }
  for (int32_t j = 0; j < n; ++j) y[j] = tt_requantized(q, sums[j], from + j);
}

void tt_depthwise_q8(const tt_conv2d_shape* s, const tt_requantize* q, const int8_t* x,
                     const int8_t* w, int8_t* y) {
  const int64_t pixels = (int64_t)s->batch * s->out_h * s->out_w;
  for (int64_t pixel = 0; pixel < pixels; ++pixel) {
    const int32_t ow = (int32_t)(pixel % s->out_w), oh = (int32_t)(pixel / s->out_w % s->out_h);
    const int64_t image = pixel / ((int64_t)s->out_h * s->out_w);
    for (int32_t from = 0; from < s->in_c; from += kBlock) {
      depthwise_pixel(s, q, x + image * s->in_h * s->in_w * s->in_c, w, oh, ow, from,
                      least(kBlock, s->in_c - from), y + pixel * s->in_c + from);
    }
  }
}

void tt_mean_q8(const tt_requantize* q, const int8_t* x, int64_t positions, int32_t channels,
                int8_t* y) {
  for (int32_t c = 0; c < channels; ++c) {
    int32_t sum = 0;
    for (int64_t i = 0; i < positions; ++i) sum += x[i * channels + c] - q->x_zero;
    y[c] = tt_requantized(q, sum, c);
  }
}

void tt_add_q8(const tt_add_scales* q, const int8_t* a, const int8_t* b, int64_t n, int8_t* y) {
  const int32_t low = q->low - q->y_zero, high = q->high - q->y_zero;
  if (!q->fixed_point) {
    for (int64_t i = 0; i < n; ++i) {
      const float sum =
          (float)(a[i] - q->a_zero) * q->a_factor + (float)(b[i] - q->b_zero) * q->b_factor;
      y[i] = (int8_t)(q->y_zero + tt_nearest(sum, (float)low, (float)high));
    }
    return;
  }
  // Both factors in steps of 2^-shift, so that the larger has 22 bits: the sum fits into 32.
  const float larger = q->a_factor > q->b_factor ? q->a_factor : q->b_factor;
  float step = 1.0f;
  int32_t shift = 0;
  while (larger * step < 2097152.0f && shift < 30) {
    step *= 2;
    ++shift;
  }
  const int64_t a_steps = (int64_t)(q->a_factor * step + 0.5f);
  const int64_t b_steps = (int64_t)(q->b_factor * step + 0.5f);
  const int64_t half = shift > 0 ? (int64_t)1 << (shift - 1) : 0;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t sum = (a[i] - q->a_zero) * a_steps + (b[i] - q->b_zero) * b_steps;
    const int64_t level = (sum + half) >> shift;
    y[i] = (int8_t)(q->y_zero + (level < low ? low : level > high ? high : (int32_t)level));
  }
}

void tt_quantize_q8(const float* x, int64_t n, float scale, int32_t zero, int8_t* y) {
  const float low = (float)(-128 - zero), high = (float)(127 - zero);
  for (int64_t i = 0; i < n; ++i) y[i] = (int8_t)(zero + tt_nearest(x[i] / scale, low, high));
}

void tt_dequantize_q8(const int8_t* x, int64_t n, float scale, int32_t zero, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = (float)(x[i] - zero) * scale;
}

// The bits of the largest |x|; those of a NaN are above all numbers.
static int32_t largest_bits(const float* x, int64_t n) {
  int32_t most = 0;
  for (int64_t i = 0; i < n; ++i) {
    int32_t bits;
    memcpy(&bits, &x[i], sizeof bits);
    bits &= INT32_MAX;
    most = bits > most ? bits : most;
  }
  return most;
}

static void encode_row(const float* restrict x, int64_t n, int8_t* restrict codes, float* scale) {
  const int32_t infinity = 0x7f800000, least = 17 << 23;  // 2^-110
  const int32_t bits = largest_bits(x, n);
  float most;
  memcpy(&most, &bits, sizeof most);
  if (bits < least || bits >= infinity) {
    for (int64_t i = 0; i < n; ++i) codes[i] = 0;
    *scale = bits < least ? 0.0f : most;  // 0 times an infinity is a NaN
    return;
  }
  const float magic = 12582912.0f, inverse = 127.0f / most;
  for (int64_t i = 0; i < n; ++i) codes[i] = (int8_t)(int32_t)((x[i] * inverse + magic) - magic);
  *scale = most / 127.0f;
}

void tt_encode_rows(const float* x, int64_t rows, int64_t columns, int8_t* codes, float* scale) {
  for (int64_t r = 0; r < rows; ++r) {
    encode_row(x + r * columns, columns, codes + r * columns, scale + r);
  }
}

void tt_decode_rows(const int8_t* codes, const float* scale, int64_t rows, int64_t columns,
                    int64_t step, float* x) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      x[r * columns + c] = (float)codes[r * step + c] * scale[r];
    }
  }
}

void tt_mask_q8(const int8_t* y, int64_t n, int32_t low, int32_t high, uint8_t* mask) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    unsigned bits = 0;
    for (int j = 0; j < 8; ++j) bits |= (unsigned)((low < y[i + j]) & (y[i + j] < high)) << j;
    mask[i / 8] = (uint8_t)bits;
  }
  if (i == n) return;
  unsigned bits = 0;
  for (int64_t j = 0; i + j < n; ++j) bits |= (unsigned)(low < y[i + j] && y[i + j] < high) << j;
  mask[i / 8] = (uint8_t)bits;
}

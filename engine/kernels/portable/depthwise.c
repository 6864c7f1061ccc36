// Depthwise convolution and its two gradients, NHWC: every channel has its own kernel.
#include <string.h>

#include "engine/kernels/portable/portable.h"

// acc[c] += a[c] * b[c]
static void multiply_add(int32_t n, const float* restrict a, const float* restrict b,
                         float* restrict acc) {
  for (int32_t c = 0; c < n; ++c) acc[c] += a[c] * b[c];
}

// Visits every pair of an output pixel and an input pixel inside the image. `x`, `w` and `y` are
// the arrays of the layer; the one named by `target` is the sum, the other two are the factors.
typedef enum { kTargetX, kTargetW, kTargetY } tt_target;

static void accumulate_taps(const tt_conv2d_shape* s, tt_target target, float* x, float* w,
                            float* y) {
  const int32_t channels = s->in_c;
  const int64_t pixels = (int64_t)s->batch * s->out_h * s->out_w;
  for (int64_t out = 0; out < pixels; ++out) {
    const int32_t ow = (int32_t)(out % s->out_w), oh = (int32_t)(out / s->out_w % s->out_h);
    const int64_t n = out / ((int64_t)s->out_h * s->out_w);
    float* y_pixel = y + out * channels;
    for (int32_t kh = 0; kh < s->kernel_h; ++kh) {
      const int32_t ih = oh * s->stride_h - s->pad_top + kh * s->dilation_h;
      if (ih < 0 || ih >= s->in_h) continue;
      for (int32_t kw = 0; kw < s->kernel_w; ++kw) {
        const int32_t iw = ow * s->stride_w - s->pad_left + kw * s->dilation_w;
        if (iw < 0 || iw >= s->in_w) continue;
        float* x_pixel = x + ((n * s->in_h + ih) * s->in_w + iw) * channels;
        float* w_tap = w + ((int64_t)kh * s->kernel_w + kw) * channels;
        if (target == kTargetY) multiply_add(channels, x_pixel, w_tap, y_pixel);
        if (target == kTargetX) multiply_add(channels, y_pixel, w_tap, x_pixel);
        if (target == kTargetW) multiply_add(channels, x_pixel, y_pixel, w_tap);
      }
    }
  }
}

// The casts below drop const from the two factors, which accumulate_taps only reads.

void tt_depthwise_f32(const tt_conv2d_shape* s, const float* x, const float* w, const float* bias,
                      float* y) {
  const int64_t pixels = (int64_t)s->batch * s->out_h * s->out_w;
  for (int64_t i = 0; i < pixels; ++i) {
    for (int32_t c = 0; c < s->out_c; ++c) y[i * s->out_c + c] = bias ? bias[c] : 0.0f;
  }
  accumulate_taps(s, kTargetY, (float*)x, (float*)w, y);
}

void tt_depthwise_grad_input_f32(const tt_conv2d_shape* s, const float* dy, const float* w,
                                 float* dx) {
  memset(dx, 0, sizeof *dx * (size_t)((int64_t)s->batch * s->in_h * s->in_w * s->in_c));
  accumulate_taps(s, kTargetX, dx, (float*)w, (float*)dy);
}

void tt_depthwise_grad_weight_f32(const tt_conv2d_shape* s, const float* x, const float* dy,
                                  float* dw) {
  memset(dw, 0, sizeof *dw * (size_t)((int64_t)s->kernel_h * s->kernel_w * s->in_c));
  accumulate_taps(s, kTargetW, (float*)x, dw, (float*)dy);
}

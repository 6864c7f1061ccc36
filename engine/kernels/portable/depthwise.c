// Depthwise convolution and its two gradients, NHWC: every channel has its own kernel.
#include <string.h>

#include "engine/kernels/portable/layer.h"

// acc[c] += factor * a[c] * b[c]
static void multiply_add(int32_t n, float factor, const float* restrict a, const float* restrict b,
                         float* restrict acc) {
  for (int32_t c = 0; c < n; ++c) acc[c] += factor * a[c] * b[c];
}

// acc[c] += a[c] * q[c] * scale[c]
static void multiply_add_q8(int32_t n, const float* restrict a, const tt_weights* w,
                            float* restrict acc) {
  for (int32_t c = 0; c < n; ++c) acc[c] += a[c] * ((float)w->q8[c] * w->scale[c]);
}

// The arrays of a layer. One of x, y and dw is the sum, two others are the factors.
typedef struct {
  const tt_conv2d_shape* shape;
  const float *x, *y;
  tt_weights w;
  float *sum_x, *sum_y, *sum_w;  // two of them null
  float factor;
  int64_t pitch;
} tt_depthwise;

// Visits every pair of an output pixel and an input pixel inside the image.
static void accumulate_taps(const tt_depthwise* d) {
  const tt_conv2d_shape* s = d->shape;
  const int32_t channels = s->in_c;
  const int64_t pixels = (int64_t)s->batch * s->out_h * s->out_w;
  for (int64_t out = 0; out < pixels; ++out) {
    const int32_t ow = (int32_t)(out % s->out_w), oh = (int32_t)(out / s->out_w % s->out_h);
    const int64_t n = out / ((int64_t)s->out_h * s->out_w);
    const int64_t y = out * d->pitch;
    for (int32_t kh = 0; kh < s->kernel_h; ++kh) {
      const int32_t ih = oh * s->stride_h - s->pad_top + kh * s->dilation_h;
      if (ih < 0 || ih >= s->in_h) continue;
      for (int32_t kw = 0; kw < s->kernel_w; ++kw) {
        const int32_t iw = ow * s->stride_w - s->pad_left + kw * s->dilation_w;
        if (iw < 0 || iw >= s->in_w) continue;
        const int64_t x = ((n * s->in_h + ih) * s->in_w + iw) * d->pitch;
        const int64_t tap = ((int64_t)kh * s->kernel_w + kw) * d->pitch;
        if (d->sum_w) {
          multiply_add(channels, d->factor, d->x + x, d->y + y, d->sum_w + tap);
          continue;
        }
        const tt_weights w = tt_weights_from(&d->w, tap, 0);
        const float* from = d->sum_y ? d->x + x : d->y + y;
        float* to = d->sum_y ? d->sum_y + y : d->sum_x + x;
        if (w.f32) {
          multiply_add(channels, 1.0f, from, w.f32, to);
        } else {
          multiply_add_q8(channels, from, &w, to);
        }
      }
    }
  }
}

static int64_t pitch_of(const tt_conv2d_shape* s) { return s->pitch ? s->pitch : s->in_c; }

static void start(const tt_conv2d_shape* s, int64_t pixels, const tt_epilogue* e, float* y) {
  for (int64_t i = 0; i < pixels; ++i) {
    for (int32_t c = 0; c < s->in_c; ++c) y[i * pitch_of(s) + c] = e && e->bias ? e->bias[c] : 0.0f;
  }
}

static void finish(const tt_conv2d_shape* s, int64_t pixels, const tt_epilogue* e, float* y) {
  for (int64_t i = 0; e && i < pixels; ++i) {
    for (int32_t c = 0; c < s->in_c; ++c) {
      const int64_t at = i * pitch_of(s) + c;
      y[at] = tt_finish(e, y[at], at);
    }
  }
}

void tt_depthwise_f32(const tt_conv2d_shape* s, const float* x, const tt_weights* w,
                      const tt_epilogue* epilogue, float* y) {
  const int64_t pixels = (int64_t)s->batch * s->out_h * s->out_w;
  start(s, pixels, epilogue, y);
  const tt_depthwise d = {.shape = s, .x = x, .w = *w, .sum_y = y, .pitch = pitch_of(s)};
  accumulate_taps(&d);
  finish(s, pixels, epilogue, y);
}

void tt_depthwise_grad_input_f32(const tt_conv2d_shape* s, const float* dy, const tt_weights* w,
                                 const tt_epilogue* epilogue, float* dx) {
  const int64_t pixels = (int64_t)s->batch * s->in_h * s->in_w;
  start(s, pixels, epilogue, dx);
  const tt_depthwise d = {.shape = s, .y = dy, .w = *w, .sum_x = dx, .pitch = pitch_of(s)};
  accumulate_taps(&d);
  finish(s, pixels, epilogue, dx);
}

void tt_depthwise_grad_weight_f32(const tt_conv2d_shape* s, const float* x, const float* dy,
                                  float factor, int32_t accumulate, float* dw) {
  for (int64_t tap = 0; !accumulate && tap < (int64_t)s->kernel_h * s->kernel_w; ++tap) {
    memset(dw + tap * pitch_of(s), 0, sizeof *dw * (size_t)s->in_c);
  }
  const tt_depthwise d = {
      .shape = s, .x = x, .y = dy, .sum_w = dw, .factor = factor, .pitch = pitch_of(s)};
  accumulate_taps(&d);
}

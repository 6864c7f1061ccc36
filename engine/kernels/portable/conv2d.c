// Convolution and its two gradients, NHWC. Tap (kh, kw) of output pixel (oh, ow) reads input pixel
// (oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w).
#include <string.h>

#include "engine/kernels/portable/portable.h"
#include "engine/kernels/portable/vector.h"

typedef struct {
  int64_t in, out;  // pixel indices, batch included
  int64_t tap;      // kh * kernel_w + kw
} tt_tap;

typedef void (*tt_tap_fn)(const tt_conv2d_shape*, const tt_tap*, const float*, const float*,
                          float*);

// Calls fn for each pair of an output pixel and an input pixel inside the image, always in the same
// order.
static void for_each_tap(const tt_conv2d_shape* s, tt_tap_fn fn, const float* a, const float* b,
                         float* result) {
  const int64_t pixels = (int64_t)s->batch * s->out_h * s->out_w;
  for (int64_t out = 0; out < pixels; ++out) {
    const int32_t ow = (int32_t)(out % s->out_w), oh = (int32_t)(out / s->out_w % s->out_h);
    const int64_t n = out / ((int64_t)s->out_h * s->out_w);
    for (int32_t kh = 0; kh < s->kernel_h; ++kh) {
      const int32_t ih = oh * s->stride_h - s->pad_top + kh * s->dilation_h;
      if (ih < 0 || ih >= s->in_h) continue;
      for (int32_t kw = 0; kw < s->kernel_w; ++kw) {
        const int32_t iw = ow * s->stride_w - s->pad_left + kw * s->dilation_w;
        if (iw < 0 || iw >= s->in_w) continue;
        const tt_tap tap = {(n * s->in_h + ih) * s->in_w + iw, out, kh * s->kernel_w + kw};
        fn(s, &tap, a, b, result);
      }
    }
  }
}

static void forward_tap(const tt_conv2d_shape* s, const tt_tap* tap, const float* x, const float* w,
                        float* y) {
  const int32_t ci_count = s->in_c / s->groups, co_count = s->out_c / s->groups;
  for (int32_t g = 0; g < s->groups; ++g) {
    const float* x_pixel = x + tap->in * s->in_c + g * ci_count;
    const float* w_tap = w + tap->tap * ci_count * s->out_c + g * co_count;
    float* y_pixel = y + tap->out * s->out_c + g * co_count;
    for (int32_t ci = 0; ci < ci_count; ++ci) {
      tt_axpy(co_count, x_pixel[ci], w_tap + (int64_t)ci * s->out_c, y_pixel);
    }
  }
}

static void grad_input_tap(const tt_conv2d_shape* s, const tt_tap* tap, const float* dy,
                           const float* w, float* dx) {
  const int32_t ci_count = s->in_c / s->groups, co_count = s->out_c / s->groups;
  for (int32_t g = 0; g < s->groups; ++g) {
    float* dx_pixel = dx + tap->in * s->in_c + g * ci_count;
    const float* w_tap = w + tap->tap * ci_count * s->out_c + g * co_count;
    const float* dy_pixel = dy + tap->out * s->out_c + g * co_count;
    for (int32_t ci = 0; ci < ci_count; ++ci) {
      dx_pixel[ci] += tt_dot(co_count, dy_pixel, w_tap + (int64_t)ci * s->out_c);
    }
  }
}

static void grad_weight_tap(const tt_conv2d_shape* s, const tt_tap* tap, const float* x,
                            const float* dy, float* dw) {
  const int32_t ci_count = s->in_c / s->groups, co_count = s->out_c / s->groups;
  for (int32_t g = 0; g < s->groups; ++g) {
    const float* x_pixel = x + tap->in * s->in_c + g * ci_count;
    float* dw_tap = dw + tap->tap * ci_count * s->out_c + g * co_count;
    const float* dy_pixel = dy + tap->out * s->out_c + g * co_count;
    for (int32_t ci = 0; ci < ci_count; ++ci) {
      tt_axpy(co_count, x_pixel[ci], dy_pixel, dw_tap + (int64_t)ci * s->out_c);
    }
  }
}

static void set_zero(float* p, int64_t n) { memset(p, 0, (size_t)n * sizeof *p); }

void tt_conv2d_f32(const tt_conv2d_shape* s, const float* x, const float* w, const float* bias,
                   float* y, void* scratch) {
  (void)scratch;
  const int64_t pixels = (int64_t)s->batch * s->out_h * s->out_w;
  for (int64_t i = 0; i < pixels; ++i) {
    for (int32_t co = 0; co < s->out_c; ++co) y[i * s->out_c + co] = bias ? bias[co] : 0.0f;
  }
  for_each_tap(s, forward_tap, x, w, y);
}

void tt_conv2d_grad_input_f32(const tt_conv2d_shape* s, const float* dy, const float* w, float* dx,
                              void* scratch) {
  (void)scratch;
  set_zero(dx, (int64_t)s->batch * s->in_h * s->in_w * s->in_c);
  for_each_tap(s, grad_input_tap, dy, w, dx);
}

void tt_conv2d_grad_weight_f32(const tt_conv2d_shape* s, const float* x, const float* dy, float* dw,
                               void* scratch) {
  (void)scratch;
  set_zero(dw, (int64_t)s->kernel_h * s->kernel_w * (s->in_c / s->groups) * s->out_c);
  for_each_tap(s, grad_weight_tap, x, dy, dw);
}

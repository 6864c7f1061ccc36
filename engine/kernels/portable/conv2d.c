// Convolution and its two gradients, NHWC. Tap (kh, kw) of output pixel (oh, ow) reads input pixel
// (oh * stride_h - pad_top + kh * dilation_h, ow * stride_w - pad_left + kw * dilation_w).
#include <string.h>

#include "engine/kernels/portable/layer.h"
#include "engine/kernels/portable/vector.h"

// The arrays of a layer: the one that a kernel sums up, and its two factors.
typedef struct {
  const tt_conv2d_shape* shape;
  const float *x, *dy;
  tt_weights w;
  float factor;
  float* result;
  int64_t pitch;  // of the pixels of dy and the last axis of the weights
} tt_conv;

typedef struct {
  int64_t in, out;  // pixel indices, batch included
  int64_t tap;      // kh * kernel_w + kw
} tt_tap;

typedef void (*tt_tap_fn)(const tt_conv*, const tt_tap*);

// Calls fn for each pair of an output pixel and an input pixel inside the image, always in the same
// order.
static void for_each_tap(const tt_conv* conv, tt_tap_fn fn) {
  const tt_conv2d_shape* s = conv->shape;
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
        fn(conv, &tap);
      }
    }
  }
}

static void forward_tap(const tt_conv* conv, const tt_tap* tap) {
  const tt_conv2d_shape* s = conv->shape;
  const int32_t ci_count = s->in_c / s->groups, co_count = s->out_c / s->groups;
  for (int32_t g = 0; g < s->groups; ++g) {
    const float* x_pixel = conv->x + tap->in * s->in_c + g * ci_count;
    float* y_pixel = conv->result + tap->out * s->out_c + g * co_count;
    for (int32_t ci = 0; ci < ci_count; ++ci) {
      const int64_t row = (tap->tap * ci_count + ci) * s->out_c + g * co_count;
      const tt_weights w = tt_weights_from(&conv->w, row, g * co_count);
      if (w.f32) {
        tt_axpy(co_count, x_pixel[ci], w.f32, y_pixel);
      } else {
        for (int32_t co = 0; co < co_count; ++co)
          y_pixel[co] += x_pixel[ci] * tt_weight(&w, co, co);
      }
    }
  }
}

static void grad_input_tap(const tt_conv* conv, const tt_tap* tap) {
  const tt_conv2d_shape* s = conv->shape;
  const int32_t ci_count = s->in_c / s->groups, co_count = s->out_c / s->groups;
  for (int32_t g = 0; g < s->groups; ++g) {
    float* dx_pixel = conv->result + tap->in * s->in_c + g * ci_count;
    const float* dy_pixel = conv->dy + tap->out * s->out_c + g * co_count;
    for (int32_t ci = 0; ci < ci_count; ++ci) {
      const int64_t row = (tap->tap * ci_count + ci) * s->out_c + g * co_count;
      const tt_weights w = tt_weights_from(&conv->w, row, g * co_count);
      if (w.f32) {
        dx_pixel[ci] += tt_dot(co_count, dy_pixel, w.f32);
      } else {
        for (int32_t co = 0; co < co_count; ++co)
          dx_pixel[ci] += dy_pixel[co] * tt_weight(&w, co, co);
      }
    }
  }
}

static void grad_weight_tap(const tt_conv* conv, const tt_tap* tap) {
  const tt_conv2d_shape* s = conv->shape;
  const int32_t ci_count = s->in_c / s->groups, co_count = s->out_c / s->groups;
  for (int32_t g = 0; g < s->groups; ++g) {
    const float* x_pixel = conv->x + tap->in * s->in_c + g * ci_count;
    float* dw_tap = conv->result + tap->tap * ci_count * conv->pitch + g * co_count;
    const float* dy_pixel = conv->dy + tap->out * conv->pitch + g * co_count;
    for (int32_t ci = 0; ci < ci_count; ++ci) {
      tt_axpy(co_count, conv->factor * x_pixel[ci], dy_pixel, dw_tap + ci * conv->pitch);
    }
  }
}

static void finish(const tt_epilogue* epilogue, float* y, int64_t n) {
  for (int64_t i = 0; epilogue && i < n; ++i) y[i] = tt_finish(epilogue, y[i], i);
}

void tt_conv2d_f32(const tt_conv2d_shape* s, const float* x, const tt_weights* w,
                   const tt_epilogue* epilogue, float* y, void* scratch) {
  (void)scratch;
  const float* bias = epilogue ? epilogue->bias : 0;
  const int64_t pixels = (int64_t)s->batch * s->out_h * s->out_w;
  for (int64_t i = 0; i < pixels; ++i) {
    for (int32_t co = 0; co < s->out_c; ++co) y[i * s->out_c + co] = bias ? bias[co] : 0.0f;
  }
  const tt_conv conv = {.shape = s, .x = x, .w = *w, .result = y};
  for_each_tap(&conv, forward_tap);
  finish(epilogue, y, pixels * s->out_c);
}

void tt_conv2d_grad_input_f32(const tt_conv2d_shape* s, const float* dy, const tt_weights* w,
                              const tt_epilogue* epilogue, float* dx, void* scratch) {
  (void)scratch;
  const int64_t size = (int64_t)s->batch * s->in_h * s->in_w * s->in_c;
  memset(dx, 0, (size_t)size * sizeof *dx);
  const tt_conv conv = {.shape = s, .dy = dy, .w = *w, .result = dx};
  for_each_tap(&conv, grad_input_tap);
  finish(epilogue, dx, size);
}

void tt_conv2d_grad_weight_f32(const tt_conv2d_shape* s, const float* x, const float* dy,
                               float factor, int32_t accumulate, float* dw, void* scratch) {
  (void)scratch;
  const int64_t pitch = s->pitch ? s->pitch : s->out_c;
  const int64_t rows = (int64_t)s->kernel_h * s->kernel_w * (s->in_c / s->groups);
  for (int64_t i = 0; !accumulate && i < rows; ++i) {
    memset(dw + i * pitch, 0, (size_t)s->out_c * sizeof *dw);
  }
  const tt_conv conv = {
      .shape = s, .x = x, .dy = dy, .factor = factor, .result = dw, .pitch = pitch};
  for_each_tap(&conv, grad_weight_tap);
}

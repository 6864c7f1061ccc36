// Which places a pooling window covers, and which windows cover a place.
#ifndef TINYTL_ENGINE_KERNELS_PORTABLE_POOL_H_
#define TINYTL_ENGINE_KERNELS_PORTABLE_POOL_H_

#include "engine/kernels/portable/portable.h"

// [first, last) along one dimension. `start` is where a window begins, and may be negative.
typedef struct {
  int32_t start, first, last;
} tt_span;

// What window number `at` covers of the `extent` places of the input.
static inline tt_span tt_window(int32_t at, int32_t stride, int32_t pad, int32_t kernel,
                                int32_t extent) {
  const int32_t start = at * stride - pad;
  const tt_span span = {start, start < 0 ? 0 : start,
                        start + kernel < extent ? start + kernel : extent};
  return span;
}

static inline tt_span tt_window_rows(const tt_pool_shape* s, int32_t p) {
  return tt_window(p, s->stride_h, s->pad_top, s->kernel_h, s->in_h);
}

static inline tt_span tt_window_columns(const tt_pool_shape* s, int32_t q) {
  return tt_window(q, s->stride_w, s->pad_left, s->kernel_w, s->in_w);
}

// The windows, out of `count`, that cover place `at`.
static inline tt_span tt_windows_over(int32_t at, int32_t stride, int32_t pad, int32_t kernel,
                                      int32_t count) {
  const int32_t past = at + pad - kernel + 1;  // start of the first one, unless before them all
  const int32_t next = (at + pad) / stride + 1;
  const tt_span span = {0, past <= 0 ? 0 : (past + stride - 1) / stride,
                        next < count ? next : count};
  return span;
}

static inline tt_span tt_windows_over_row(const tt_pool_shape* s, int32_t h) {
  return tt_windows_over(h, s->stride_h, s->pad_top, s->kernel_h, s->out_h);
}

static inline tt_span tt_windows_over_column(const tt_pool_shape* s, int32_t v) {
  return tt_windows_over(v, s->stride_w, s->pad_left, s->kernel_w, s->out_w);
}

// How many places of a window count along one dimension. What reaches past the padding never does.
static inline int32_t tt_counted(const tt_span* window, int32_t kernel, int32_t room,
                                 int32_t count_pad) {
  if (!count_pad) return window->last - window->first;
  return window->start + kernel < room ? kernel : room - window->start;
}

// By how many places the sum of a window is divided.
static inline int32_t tt_window_size(const tt_pool_shape* s, tt_span rows, tt_span columns) {
  return tt_counted(&rows, s->kernel_h, s->in_h + s->pad_bottom, s->count_pad) *
         tt_counted(&columns, s->kernel_w, s->in_w + s->pad_right, s->count_pad);
}

#endif  // TINYTL_ENGINE_KERNELS_PORTABLE_POOL_H_

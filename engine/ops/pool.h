// The windows of a pooling operator over an NHWC tensor.
//
// Attributes: "kernel" {kh,kw}, "strides" {sh,sw}, "pads" {top,left,bottom,right}, "ceil_mode" (1:
// the output size is rounded up, so that the last window may reach past the padding).
#pragma once

#include "engine/ops/op_helpers.h"

namespace tinytl {

struct PoolShape {
  int64_t batch, in_h, in_w, channels, out_h, out_w;
  int64_t kernel_h, kernel_w, stride_h, stride_w;
  int64_t pad_top, pad_left, pad_bottom, pad_right;

  int64_t window() const { return kernel_h * kernel_w; }
};

// The part of window number `at` along one dimension that lies inside the input: [first, last).
// `start` is where the window begins, and may be negative.
struct PoolSpan {
  int64_t start, first, last;
};
PoolSpan pool_span(int64_t at, int64_t stride, int64_t pad, int64_t kernel, int64_t extent);

// `x` must have passed `infer_pool`.
PoolShape pool_shape(const Node& node, const Shape& x);

OutputTypes infer_pool(const Node& node, InputTypes in);
// Type of a pooling gradient: the attribute "shape"; input 0 is dy.
OutputTypes infer_pool_grad(const Node& node, InputTypes in);

// Calls visit(image, out, rows, columns) for every window; its outputs are elements [out, out +
// channels).
template <typename Visit>
void for_each_window(const PoolShape& s, Visit visit) {
  int64_t out = 0;
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t p = 0; p < s.out_h; ++p) {
      const PoolSpan rows = pool_span(p, s.stride_h, s.pad_top, s.kernel_h, s.in_h);
      for (int64_t q = 0; q < s.out_w; ++q, out += s.channels) {
        const PoolSpan columns = pool_span(q, s.stride_w, s.pad_left, s.kernel_w, s.in_w);
        visit(n, out, rows, columns);
      }
    }
  }
}

}  // namespace tinytl

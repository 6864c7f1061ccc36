// Parts of a convolution: some rows of its result, computed from the rows that they read.
#pragma once

#include <algorithm>

#include "engine/kernels/kernels.h"

namespace tinytl {

// The shape of such a part of one image, and the first row of the other side that it reads.
struct RowsPart {
  tt_conv2d_shape shape;
  int32_t first;
};

// Rows [row, row + count) of y, from rows [first, ...) of x.
inline RowsPart forward_rows(tt_conv2d_shape s, int32_t row, int32_t count) {
  const int32_t top = row * s.stride_h - s.pad_top;
  const int32_t first = std::clamp(top, 0, s.in_h - 1);
  s.batch = 1;
  s.out_h = count;
  s.in_h -= first;
  s.pad_top = first - top;
  return {s, first};
}

// Rows [row, row + count) of dx, from rows [first, ...) of dy.
inline RowsPart grad_input_rows(tt_conv2d_shape s, int32_t row, int32_t count) {
  const int32_t reach = (s.kernel_h - 1) * s.dilation_h;
  const int32_t above = row + s.pad_top - reach;  // the first row of dy is not below this / stride
  const int32_t first =
      std::clamp(above <= 0 ? 0 : (above + s.stride_h - 1) / s.stride_h, 0, s.out_h - 1);
  const int32_t last = std::clamp((row + count - 1 + s.pad_top) / s.stride_h, first, s.out_h - 1);
  s.batch = 1;
  s.in_h = count;
  s.out_h = last - first + 1;
  s.pad_top += row - first * s.stride_h;
  return {s, first};
}

// fn(image, row, count) for every run of rows in [begin, end), numbered through the images.
template <class F>
void for_each_run_of_rows(int64_t begin, int64_t end, int64_t rows_of_image, F&& fn) {
  while (begin < end) {
    const int64_t image = begin / rows_of_image, row = begin % rows_of_image;
    const int64_t count = std::min(end - begin, rows_of_image - row);
    fn(image, static_cast<int32_t>(row), static_cast<int32_t>(count));
    begin += count;
  }
}

inline bool is_pointwise(const tt_conv2d_shape& s) {
  return s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
         s.pad_top == 0 && s.pad_left == 0 && s.groups == 1 && s.in_h == s.out_h &&
         s.in_w == s.out_w;
}

}  // namespace tinytl

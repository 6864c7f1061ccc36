// Shapes of convolutions, and what a convolution is.
#pragma once

#include <string>

#include "tests/kernels/support.h"

namespace tinytl {

inline std::string text(const tt_conv2d_shape& s) {
  std::string result = "batch, in h w c, out h w c, kernel, stride, pad, dilation, groups:";
  for (const int32_t v :
       {s.batch, s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.out_c, s.kernel_h, s.kernel_w,
        s.stride_h, s.stride_w, s.pad_top, s.pad_left, s.dilation_h, s.dilation_w, s.groups}) {
    result.append(" ").append(std::to_string(v));
  }
  return result;
}

// fn(index in x, in w, in y) for every product of the convolution. A depthwise convolution is the
// one whose groups are its channels: its weights lie the same way.
template <class F>
void for_each_product(const tt_conv2d_shape& s, F&& fn) {
  const int64_t in_group = s.in_c / s.groups, out_group = s.out_c / s.groups;
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t oh = 0; oh < s.out_h; ++oh)
      for (int64_t ow = 0; ow < s.out_w; ++ow)
        for (int64_t kh = 0; kh < s.kernel_h; ++kh)
          for (int64_t kw = 0; kw < s.kernel_w; ++kw) {
            const int64_t ih = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
            const int64_t iw = ow * s.stride_w - s.pad_left + kw * s.dilation_w;
            if (ih < 0 || ih >= s.in_h || iw < 0 || iw >= s.in_w) continue;
            for (int64_t co = 0; co < s.out_c; ++co)
              for (int64_t i = 0; i < in_group; ++i) {
                const int64_t ci = co / out_group * in_group + i;
                fn(((n * s.in_h + ih) * s.in_w + iw) * s.in_c + ci,
                   ((kh * s.kernel_w + kw) * in_group + i) * s.out_c + co,
                   ((n * s.out_h + oh) * s.out_w + ow) * s.out_c + co);
              }
          }
}

// Sets the output size from the padding on all sides; false where nothing is left.
inline bool set_output(tt_conv2d_shape& s, int32_t pad_bottom, int32_t pad_right) {
  const int32_t h = s.in_h + s.pad_top + pad_bottom - (s.kernel_h - 1) * s.dilation_h - 1;
  const int32_t w = s.in_w + s.pad_left + pad_right - (s.kernel_w - 1) * s.dilation_w - 1;
  s.out_h = h / s.stride_h + 1;
  s.out_w = w / s.stride_w + 1;
  return h >= 0 && w >= 0;
}

inline tt_conv2d_shape random_shape(Random& random, bool depthwise) {
  for (;;) {
    tt_conv2d_shape s{};
    s.batch = random.integer(1, 2);
    s.in_h = random.integer(1, 12);
    s.in_w = random.integer(1, 21);
    s.kernel_h = random.pick({1, 2, 3, 3, 5, 7});
    s.kernel_w = random.integer(0, 3) == 0 ? random.pick({1, 3, 4, 8}) : s.kernel_h;
    s.stride_h = random.pick({1, 1, 2, 3});
    s.stride_w = random.integer(0, 3) == 0 ? random.integer(1, 3) : s.stride_h;
    s.dilation_h = random.pick({1, 1, 1, 2});
    s.dilation_w = random.pick({1, 1, 1, 2, 3});
    s.pad_top = random.integer(0, s.kernel_h);
    s.pad_left = random.integer(0, s.kernel_w);
    if (depthwise) {
      s.in_c = s.out_c = s.groups = random.integer(1, 33);
    } else {
      s.groups = random.pick({1, 1, 2, 3});
      s.in_c = s.groups * random.integer(1, 33 / s.groups);
      s.out_c = s.groups * random.integer(1, 33 / s.groups);
    }
    if (set_output(s, random.integer(0, s.kernel_h), random.integer(0, s.kernel_w))) return s;
  }
}

inline tt_conv2d_shape square(int32_t size, int32_t in_c, int32_t out_c, int32_t kernel,
                              int32_t stride, int32_t groups) {
  tt_conv2d_shape s{};
  s.batch = 2;
  s.in_h = s.in_w = size;
  s.in_c = in_c;
  s.out_c = out_c;
  s.kernel_h = s.kernel_w = kernel;
  s.stride_h = s.stride_w = stride;
  s.pad_top = s.pad_left = kernel / 2;
  s.dilation_h = s.dilation_w = 1;
  s.groups = groups;
  set_output(s, kernel / 2, kernel / 2);
  return s;
}

}  // namespace tinytl

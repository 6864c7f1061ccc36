// Gradient of the weights of a depthwise convolution, vectorised over channels: a block of taps is
// summed in registers along an output row.
#include "engine/kernels/simd/product-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_WEIGHT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_WEIGHT_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_WEIGHT_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_WEIGHT_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

// dw of a block of taps += sum over `count` pixels of x . dy, one vector of channels.
struct WeightRun {
  const float* x;  // of the first tap and the first pixel
  int64_t x_step, x_row, x_col;
  const float* dy;
  int64_t dy_step;
  float* dw;
  int64_t w_row, w_col;
  int64_t count;
  size_t lanes;
};

template <int kRows, int kCols, bool kPartial>
HWY_NOINLINE void sum_pixels(const WeightRun& run) {
  V sum[kRows][kCols];
  unroll<kRows>([&](auto i) TINYTL_INLINE {
    unroll<kCols>([&](auto j) TINYTL_INLINE {
      sum[i][j] = load_some<kPartial>(run.dw + i * run.w_row + j * run.w_col, run.lanes);
    });
  });
  const int64_t x_row = run.x_row, x_col = run.x_col;
  const size_t lanes = run.lanes;
  const float* x = run.x;
  const float* dy = run.dy;
  for (int64_t p = 0; p < run.count; ++p, x += run.x_step, dy += run.dy_step) {
    const V gradient = load_some<kPartial>(dy, lanes);
    unroll<kRows>([&](auto i) TINYTL_INLINE {
      unroll<kCols>([&](auto j) TINYTL_INLINE {
        const V value = load_some<kPartial>(x + i * x_row + j * x_col, lanes);
        sum[i][j] = hn::MulAdd(value, gradient, sum[i][j]);
      });
    });
  }
  unroll<kRows>([&](auto i) TINYTL_INLINE {
    unroll<kCols>([&](auto j) TINYTL_INLINE {
      store_some<kPartial>(sum[i][j], run.dw + i * run.w_row + j * run.w_col, lanes);
    });
  });
}

// One output row of one image.
class WeightRow {
 public:
  WeightRow(const tt_conv2d_shape& s, int64_t oh, const float* x, const float* dy, float* dw)
      : s_(s), channels_(s.in_c), x_(x), dy_(dy), dw_(dw) {
    top_ = oh * s.stride_h - s.pad_top;
  }

  void run() const {
    int64_t first = 0, last = s_.kernel_h;  // the kernel rows inside the image
    while (first < last && top_ + first * s_.dilation_h < 0) ++first;
    while (first < last && top_ + (last - 1) * s_.dilation_h >= s_.in_h) --last;
    for (int64_t c = 0; c < channels_; c += kLanes) {
      for (int64_t kw = 0; kw < s_.kernel_w;) kw += run_columns(kw, first, last, c);
    }
  }

 private:
  // As many columns of taps as registers and the kernel allow; returns how many.
  int64_t run_columns(int64_t kw, int64_t first, int64_t last, int64_t c) const {
    const int64_t left = s_.kernel_w - kw;
    if (left >= 7) return run_rows<1, 7>(kw, first, last, c);
    if (left >= 5) return run_rows<2, 5>(kw, first, last, c);
    if (left >= 3) return run_rows<3, 3>(kw, first, last, c);
    return run_rows<3, 1>(kw, first, last, c);
  }

  template <int kRows, int kCols>
  int64_t run_rows(int64_t kw, int64_t kh, int64_t last, int64_t c) const {
    for (; kh + kRows <= last; kh += kRows) run_block<kRows, kCols>(kh, kw, c);
    for (; kh < last; ++kh) run_block<1, kCols>(kh, kw, c);
    return kCols;
  }

  // Where all taps of the block are inside, together; at the edges, column by column.
  template <int kRows, int kCols>
  void run_block(int64_t kh, int64_t kw, int64_t c) const {
    const int64_t begin = first_pixel(kw), end = end_pixel(kw + kCols - 1);
    const bool any = begin < end;
    if (any) run_pixels<kRows, kCols>(kh, kw, begin, end, c);
    if (kCols == 1) return;
    for (int64_t j = kw; j < kw + kCols; ++j) {
      const int64_t from = first_pixel(j), to = end_pixel(j);
      run_pixels<kRows, 1>(kh, j, from, any ? begin : to, c);
      if (any) run_pixels<kRows, 1>(kh, j, end, to, c);
    }
  }

  template <int kRows, int kCols>
  void run_pixels(int64_t kh, int64_t kw, int64_t begin, int64_t end, int64_t c) const {
    if (begin >= end) return;
    const int64_t row = top_ + kh * s_.dilation_h;
    const int64_t col = begin * s_.stride_w - s_.pad_left + kw * s_.dilation_w;
    const int64_t lanes = std::min<int64_t>(kLanes, channels_ - c);
    const WeightRun run{.x = x_ + (row * s_.in_w + col) * channels_ + c,
                        .x_step = s_.stride_w * channels_,
                        .x_row = s_.dilation_h * s_.in_w * channels_,
                        .x_col = s_.dilation_w * channels_,
                        .dy = dy_ + begin * channels_ + c,
                        .dy_step = channels_,
                        .dw = dw_ + (kh * s_.kernel_w + kw) * channels_ + c,
                        .w_row = s_.kernel_w * channels_,
                        .w_col = channels_,
                        .count = end - begin,
                        .lanes = static_cast<size_t>(lanes)};
    if (lanes == kLanes) {
      sum_pixels<kRows, kCols, false>(run);
    } else {
      sum_pixels<kRows, kCols, true>(run);
    }
  }

  // The output pixels whose tap kw lies inside are [first_pixel, end_pixel).
  int64_t first_pixel(int64_t kw) const {
    const int64_t outside = s_.pad_left - kw * s_.dilation_w;
    return outside > 0 ? ceil_div(outside, s_.stride_w) : 0;
  }
  int64_t end_pixel(int64_t kw) const {
    const int64_t inside = s_.in_w + s_.pad_left - kw * s_.dilation_w;
    return inside > 0 ? std::min<int64_t>(s_.out_w, ceil_div(inside, s_.stride_w)) : 0;
  }

  const tt_conv2d_shape& s_;
  int64_t channels_, top_;
  const float* x_;
  const float* dy_;
  float* dw_;
};

inline void depthwise_grad_weight(const tt_conv2d_shape* s, const float* x, const float* dy,
                                  float factor, int32_t accumulate, float* dw) {
  if (factor != 1.0f || accumulate || s->pitch) {
    return tt_depthwise_grad_weight_f32(s, x, dy, factor, accumulate, dw);
  }
  const int64_t c = s->in_c, image = s->in_h * s->in_w * c, row = s->out_w * c;
  std::fill_n(dw, s->kernel_h * s->kernel_w * c, 0.0f);
  for (int64_t n = 0; n < s->batch; ++n) {
    for (int64_t oh = 0; oh < s->out_h; ++oh) {
      WeightRow(*s, oh, x + n * image, dy + (n * s->out_h + oh) * row, dw).run();
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

// Gradient of the weights of a depthwise convolution, vectorised over channels: the sums of a block
// of taps stay in registers while one vector of channels walks over a band of rows.
#include "engine/kernels/simd/depthwise_walk-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_WEIGHT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_WEIGHT_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_WEIGHT_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_WEIGHT_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

// Output rows [row, end) of one image and one vector of channels.
struct WeightBand {
  const tt_conv2d_shape& shape;
  int64_t pitch;
  const float* x;   // of the image
  const float* dy;  // of the image
  float factor;
  float* dw;
  const float *x_ahead, *dy_ahead;  // null, or what to fetch (Ahead)
  int64_t row, end;
  size_t lanes;
};

// dw += factor * gradient, for the tap rows [top, top + kRows). A column of x meets the dy of the
// last few output columns, which wait in registers.
template <class W, int kRows, bool kPartial>
HWY_NOINLINE void sum_band(const WeightBand& band, int64_t top) {
  constexpr int K = W::kSize, S = W::kRead;
  const tt_conv2d_shape& s = band.shape;
  const int64_t col_step = band.pitch, in_w = s.in_w, out_w = s.out_w, pad = s.pad_left;
  const int64_t in_row_step = in_w * col_step;
  const size_t lanes = band.lanes;
  V sum[kRows][K];
  unroll<kRows>([&](auto i) TINYTL_INLINE {
    unroll<K>([&](auto j) TINYTL_INLINE { sum[i][j] = hn::Zero(kD); });
  });
  for (int64_t row = band.row; row < band.end; ++row) {
    const int64_t in_row = row * S - s.pad_top + top;
    unsigned rows = 0;  // which lie inside
    unroll<kRows>([&](auto i) TINYTL_INLINE {
      rows |= static_cast<unsigned>(within(in_row + i, s.in_h)) << i;
    });
    const float* dy = band.dy + row * out_w * col_step;
    const float* const x = band.x;
    int64_t from = in_row * in_row_step - pad * col_step;
    Ahead<S> x_ahead(top == 0 ? band.x_ahead : nullptr, row * S, in_row_step);
    Ahead<1> dy_ahead(top == 0 ? band.dy_ahead : nullptr, row, out_w * col_step);
    V last[W::kSteps];
    unroll<W::kSteps>([&](auto j) TINYTL_INLINE { last[j] = hn::Zero(kD); });
    for (int64_t col = 0; col < out_w + W::kSteps - 1; ++col) {
      unroll<W::kSteps - 1>(
          [&](auto j) TINYTL_INLINE { last[W::kSteps - 1 - j] = last[W::kSteps - 2 - j]; });
      last[0] = col < out_w ? load_some<kPartial>(dy, lanes) : hn::Zero(kD);
      dy += col_step;
      dy_ahead.fetch();
      unroll<S>([&](auto f) TINYTL_INLINE {
        if (within(col * S - pad + f, in_w)) {
          unroll<kRows>([&](auto i) TINYTL_INLINE {
            if (rows >> i & 1) {
              const V value = load_some<kPartial>(x + from + i * in_row_step, lanes);
              unroll<W::kSteps>([&](auto j) TINYTL_INLINE {
                constexpr int kTap = f + j * S;
                if constexpr (kTap < K) sum[i][kTap] = hn::MulAdd(value, last[j], sum[i][kTap]);
              });
            }
          });
        }
        from += col_step;
        x_ahead.fetch();
      });
    }
  }
  const V factor = hn::Set(kD, band.factor);
  unroll<kRows>([&](auto i) TINYTL_INLINE {
    unroll<K>([&](auto j) TINYTL_INLINE {
      float* const dw = band.dw + ((top + i) * K + j) * col_step;
      store_some<kPartial>(hn::MulAdd(factor, sum[i][j], load_some<kPartial>(dw, lanes)), dw,
                           lanes);
    });
  });
}

// All taps, as many rows of them at a time as registers allow.
template <class W, bool kPartial>
HWY_INLINE void sum_taps(const WeightBand& band) {
  constexpr int K = W::kSize;
  constexpr bool kMany = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON;  // 32, not 16
  constexpr int kRows = K == 3 ? 3 : kMany ? (K == 5 ? 5 : 3) : (K == 5 ? 2 : 1);
  int64_t top = 0;
  for (; top + kRows <= K; top += kRows) sum_band<W, kRows, kPartial>(band, top);
  for (; top < K; ++top) sum_band<W, 1, kPartial>(band, top);
}

// Any kernel: one tap of one vector of channels.
inline void sum_tap(const WeightBand& band, int64_t tap) {
  const tt_conv2d_shape& s = band.shape;
  const int64_t kh = tap / s.kernel_w, kw = tap % s.kernel_w;
  V sum = hn::Zero(kD);
  for (int64_t row = band.row; row < band.end; ++row) {
    const int64_t h = row * s.stride_h - s.pad_top + kh * s.dilation_h;
    if (!within(h, s.in_h)) continue;
    for (int64_t col = 0; col < s.out_w; ++col) {
      const int64_t w = col * s.stride_w - s.pad_left + kw * s.dilation_w;
      if (!within(w, s.in_w)) continue;
      const V x = load_first(band.x + (h * s.in_w + w) * band.pitch, band.lanes);
      const V dy = load_first(band.dy + (row * s.out_w + col) * band.pitch, band.lanes);
      sum = hn::MulAdd(x, dy, sum);
    }
  }
  float* const dw = band.dw + tap * band.pitch;
  sum = hn::MulAdd(hn::Set(kD, band.factor), sum, load_first(dw, band.lanes));
  store_first(sum, dw, band.lanes);
}

using SumTaps = void (*)(const WeightBand&);

template <bool kPartial>
SumTaps sum_taps_of(const tt_conv2d_shape& s) {
  const bool square = s.kernel_h == s.kernel_w && s.stride_h == s.stride_w;
  if (square && s.dilation_h == 1 && s.dilation_w == 1 && s.stride_h <= 2) {
    const bool two = s.stride_h == 2;
    const auto of = [&]<int K>(std::integral_constant<int, K>) -> SumTaps {
      return two ? sum_taps<Taps<K, 2, false>, kPartial> : sum_taps<Taps<K, 1, false>, kPartial>;
    };
    if (s.kernel_h == 3) return of(std::integral_constant<int, 3>());
    if (s.kernel_h == 5) return of(std::integral_constant<int, 5>());
    if (s.kernel_h == 7) return of(std::integral_constant<int, 7>());
  }
  return [](const WeightBand& band) {
    for (int64_t tap = 0; tap < band.shape.kernel_h * band.shape.kernel_w; ++tap) {
      sum_tap(band, tap);
    }
  };
}

inline void depthwise_grad_weight(const tt_conv2d_shape* s, const float* x, const float* dy,
                                  float factor, int32_t accumulate, float* dw) {
  const int64_t pitch = s->pitch ? s->pitch : s->in_c, channels = s->in_c;
  const int64_t x_row = s->in_w * pitch, dy_row = s->out_w * pitch;
  for (int64_t tap = 0; !accumulate && tap < s->kernel_h * s->kernel_w; ++tap) {
    std::fill_n(dw + tap * pitch, channels, 0.0f);
  }
  const SumTaps whole = sum_taps_of<false>(*s), partial = sum_taps_of<true>(*s);
  // Of all channels, or the sums would depend on how many are computed together.
  const int64_t rows = std::max<int64_t>(1, kBandFloats / (x_row * s->stride_h));
  const bool large = s->batch * s->in_h * x_row >= 4 * kLargeFloats;
  for (int64_t n = 0; n < s->batch; ++n) {
    for (int64_t row = 0; row < s->out_h; row += rows) {
      for (int64_t c = 0; c < channels; c += kLanes) {
        const float* const image_x = x + n * s->in_h * x_row;
        const float* const image_dy = dy + n * s->out_h * dy_row;
        const WeightBand band{*s,
                              pitch,
                              image_x + c,
                              image_dy + c,
                              factor,
                              dw + c,
                              large ? image_x + rows * s->stride_h * x_row + c * s->in_w : nullptr,
                              large ? image_dy + rows * dy_row + c * s->out_w : nullptr,
                              row,
                              std::min<int64_t>(row + rows, s->out_h),
                              static_cast<size_t>(std::min<int64_t>(kLanes, channels - c))};
        (channels - c >= kLanes ? whole : partial)(band);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

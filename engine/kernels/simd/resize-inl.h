// Resize and its adjoint, along the channels, to the bits of the portable kernels.
#include "engine/kernels/portable/resize.h"
#include "engine/kernels/simd/pool-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_RESIZE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_RESIZE_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_RESIZE_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_RESIZE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

// Up to four pixels with their weights, those of weight 0 left out.
struct PixelTaps {
  const float* pixel[4];
  float weight[4];
  int count = 0;

  HWY_INLINE void add(const float* p, float w) {
    pixel[count] = p;
    weight[count] = w;
    count += w != 0.0f ? 1 : 0;
  }
};

template <int kCount>
HWY_INLINE void sum_taps(const PixelTaps& taps, int64_t channels, float* y) {
  for_channels(channels, [&](int64_t c, auto vecs, auto at) TINYTL_INLINE {
    V sum[vecs];
    unroll<vecs>([&](auto v) TINYTL_INLINE { sum[v] = hn::Zero(kD); });
    unroll<kCount>([&](auto k) TINYTL_INLINE {
      const V weight = hn::Set(kD, taps.weight[k]);
      unroll<vecs>([&](auto v) TINYTL_INLINE {
        sum[v] = hn::Add(sum[v], hn::Mul(weight, at.get(taps.pixel[k] + c + v * kLanes)));
      });
    });
    unroll<vecs>([&](auto v) TINYTL_INLINE { at.put(sum[v], y + c + v * kLanes); });
  });
}

inline void resize(const tt_resize_shape* s, int64_t first, int64_t last, const float* x,
                   float* y) {
  const int64_t line = int64_t{s->in_w} * s->channels;
  y += first * s->out_w * s->channels;
  for (int64_t row = first; row < last; ++row) {
    const tt_tap h = tt_tap_row(s, static_cast<int32_t>(row % s->out_h));
    const float* image = x + row / s->out_h * s->in_h * line;
    const float* top = image + h.low * line;
    const float* bottom = image + h.high * line;
    for (int32_t q = 0; q < s->out_w; ++q, y += s->channels) {
      const tt_tap v = tt_tap_column(s, q);
      const int64_t left = int64_t{v.low} * s->channels, right = int64_t{v.high} * s->channels;
      PixelTaps taps;
      taps.add(top + left, (1.0f - h.weight) * (1.0f - v.weight));
      taps.add(top + right, (1.0f - h.weight) * v.weight);
      taps.add(bottom + left, h.weight * (1.0f - v.weight));
      taps.add(bottom + right, h.weight * v.weight);
      if (taps.count == 4) {
        sum_taps<4>(taps, s->channels, y);
      } else if (taps.count == 2) {
        sum_taps<2>(taps, s->channels, y);
      } else {
        sum_taps<1>(taps, s->channels, y);
      }
    }
  }
}

HWY_INLINE void add_readers(const tt_resize_shape& s, const tt_readers& readers, const float* dy,
                            float* dx) {
  const int64_t line = int64_t{s.out_w} * s.channels;
  for (int32_t q = 0; q < s.out_w; ++q, dy += s.channels) {
    const tt_tap tap = tt_tap_column(&s, q);
    float* left = dx + int64_t{tap.low} * s.channels;
    float* right = dx + int64_t{tap.high} * s.channels;
    for_channels(s.channels, [&](int64_t c, auto vecs, auto at) TINYTL_INLINE {
      V sum[vecs];
      unroll<vecs>([&](auto v) TINYTL_INLINE { sum[v] = hn::Zero(kD); });
      for (int32_t k = 0; k < readers.count; ++k) {
        const float* from = dy + readers.row[k] * line + c;
        const V weight = hn::Set(kD, readers.weight[k]);
        unroll<vecs>([&](auto v) TINYTL_INLINE {
          sum[v] = hn::Add(sum[v], hn::Mul(weight, at.get(from + v * kLanes)));
        });
      }
      const auto add_to = [&](float* to, float factor) TINYTL_INLINE {
        const V weight = hn::Set(kD, factor);
        unroll<vecs>([&](auto v) TINYTL_INLINE {
          float* p = to + c + v * kLanes;
          at.put(hn::Add(at.get(p), hn::Mul(weight, sum[v])), p);
        });
      };
      add_to(left, 1.0f - tap.weight);
      if (tap.weight != 0.0f) add_to(right, tap.weight);
    });
  }
}

inline void resize_grad(const tt_resize_shape* s, int64_t first, int64_t last, const float* dy,
                        float* dx) {
  const int64_t line = int64_t{s->in_w} * s->channels;
  for (int64_t row = first; row < last; ++row) {
    const int32_t h = static_cast<int32_t>(row % s->in_h);
    const float* image = dy + row / s->in_h * s->out_h * s->out_w * s->channels;
    std::fill_n(dx + row * line, line, 0.0f);
    int32_t p = tt_first_reader(s, h);
    for (;;) {
      const tt_readers readers = tt_next_readers(s, h, &p);
      if (readers.count == 0) break;
      add_readers(*s, readers, image, dx + row * line);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

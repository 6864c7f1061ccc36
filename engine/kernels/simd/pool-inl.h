// Average and maximum over windows, along the channels. Sums run in the order of the portable
// kernels, to the same bits.
#include "engine/kernels/portable/pool.h"
#include "engine/kernels/simd/elementwise-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_POOL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_POOL_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_POOL_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_POOL_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

// fn(c, number of vectors as a constant, how to load and store) for all channels.
template <class F>
HWY_INLINE void for_channels(int64_t n, F&& fn) {
  int64_t c = 0;
  for (; c + 4 * kLanes <= n; c += 4 * kLanes) {
    fn(c, std::integral_constant<int, 4>{}, WholeVector{});
  }
  for (; c + kLanes <= n; c += kLanes) fn(c, std::integral_constant<int, 1>{}, WholeVector{});
  if (c < n) {
    fn(c, std::integral_constant<int, 1>{}, FirstLanes{static_cast<size_t>(n - c)});
  }
}

// The window of one element of the result: rows * columns pixels from `x` on.
struct PoolWindow {
  const float* x;
  int64_t row_step;
  int32_t rows, columns, channels;

  // visit(pixel, row, column), with the channels from c on.
  template <class F>
  HWY_INLINE void for_each(int64_t c, F&& visit) const {
    for (int32_t h = 0; h < rows; ++h) {
      const float* pixel = x + h * row_step + c;
      for (int32_t v = 0; v < columns; ++v, pixel += channels) visit(pixel, h, v);
    }
  }
};

// fn(window, rows, columns, offset of its result).
template <class F>
HWY_INLINE void for_windows(const tt_pool_shape& s, int64_t first, int64_t last, const float* x,
                            F&& fn) {
  const int64_t line = int64_t{s.in_w} * s.channels;
  int64_t out = first * s.out_w * s.channels;
  for (int64_t row = first; row < last; ++row) {
    const float* image = x + row / s.out_h * s.in_h * line;
    const tt_span rows = tt_window_rows(&s, static_cast<int32_t>(row % s.out_h));
    for (int32_t q = 0; q < s.out_w; ++q, out += s.channels) {
      const tt_span columns = tt_window_columns(&s, q);
      const PoolWindow window{image + rows.first * line + int64_t{columns.first} * s.channels, line,
                              rows.last - rows.first, columns.last - columns.first, s.channels};
      fn(window, rows, columns, out);
    }
  }
}

inline void average_pool(const tt_pool_shape* s, int64_t first, int64_t last, const float* x,
                         float* y) {
  for_windows(
      *s, first, last, x,
      [&](const PoolWindow& window, tt_span rows, tt_span columns, int64_t out) TINYTL_INLINE {
        const V weight = hn::Set(kD, 1.0f / static_cast<float>(tt_window_size(s, rows, columns)));
        for_channels(s->channels, [&](int64_t c, auto vecs, auto at) TINYTL_INLINE {
          V sum[vecs];
          unroll<vecs>([&](auto v) TINYTL_INLINE { sum[v] = hn::Zero(kD); });
          window.for_each(c, [&](const float* pixel, int32_t, int32_t) TINYTL_INLINE {
            unroll<vecs>([&](auto v) TINYTL_INLINE {
              sum[v] = hn::Add(sum[v], at.get(pixel + v * kLanes));
            });
          });
          unroll<vecs>([&](auto v) TINYTL_INLINE {
            at.put(hn::Mul(sum[v], weight), y + out + c + v * kLanes);
          });
        });
      });
}

inline void max_pool(const tt_pool_shape* s, int64_t first, int64_t last, const float* x,
                     float* y) {
  for_windows(
      *s, first, last, x,
      [&](const PoolWindow& window, tt_span, tt_span, int64_t out) TINYTL_INLINE {
        for_channels(s->channels, [&](int64_t c, auto vecs, auto at) TINYTL_INLINE {
          V best[vecs];
          unroll<vecs>([&](auto v) TINYTL_INLINE { best[v] = at.get(window.x + c + v * kLanes); });
          window.for_each(c, [&](const float* pixel, int32_t, int32_t) TINYTL_INLINE {
            unroll<vecs>([&](auto v) TINYTL_INLINE {
              const V value = at.get(pixel + v * kLanes);
              best[v] = hn::IfThenElse(hn::Gt(value, best[v]), value, best[v]);
            });
          });
          unroll<vecs>([&](auto v) TINYTL_INLINE { at.put(best[v], y + out + c + v * kLanes); });
        });
      });
}

using Places = hn::Vec<hn::RebindToSigned<D>>;
constexpr hn::RebindToSigned<D> kPlaces;

// Numbers within a window, of int8_t or int32_t.
template <class T>
HWY_INLINE Places load_places(const T* p, WholeVector) {
  if constexpr (sizeof(T) == sizeof(int32_t)) {
    return hn::LoadU(kPlaces, p);
  } else {
    return hn::PromoteTo(kPlaces, hn::LoadU(hn::Rebind<T, D>(), p));
  }
}

template <class T>
HWY_INLINE Places load_places(const T* p, FirstLanes at) {
  HWY_ALIGN T lanes[kLanes] = {};
  for (size_t i = 0; i < at.lanes; ++i) lanes[i] = p[i];
  return load_places(lanes, WholeVector{});
}

template <class T>
HWY_INLINE void store_places(Places places, T* p, WholeVector) {
  if constexpr (sizeof(T) == sizeof(int32_t)) {
    hn::StoreU(places, kPlaces, p);
  } else {
    const hn::Rebind<T, D> narrow;
    hn::StoreU(hn::DemoteTo(narrow, places), narrow, p);
  }
}

template <class T>
HWY_INLINE void store_places(Places places, T* p, FirstLanes at) {
  HWY_ALIGN T lanes[kLanes];
  store_places(places, lanes, WholeVector{});
  for (size_t i = 0; i < at.lanes; ++i) p[i] = lanes[i];
}

template <class T>
HWY_INLINE void argmax_as(const tt_pool_shape* s, int64_t first, int64_t last, const float* x,
                          T* argmax) {
  for_windows(
      *s, first, last, x,
      [&](const PoolWindow& window, tt_span rows, tt_span columns, int64_t out) TINYTL_INLINE {
        const int32_t start =
            (rows.first - rows.start) * s->kernel_w + columns.first - columns.start;
        for_channels(s->channels, [&](int64_t c, auto vecs, auto at) TINYTL_INLINE {
          V best[vecs];
          Places place[vecs];
          unroll<vecs>([&](auto v) TINYTL_INLINE {
            best[v] = at.get(window.x + c + v * kLanes);
            place[v] = hn::Set(kPlaces, start);
          });
          window.for_each(c, [&](const float* pixel, int32_t h, int32_t w) TINYTL_INLINE {
            const Places here = hn::Set(kPlaces, start + h * s->kernel_w + w);
            unroll<vecs>([&](auto v) TINYTL_INLINE {
              const V value = at.get(pixel + v * kLanes);
              const auto better = hn::Gt(value, best[v]);
              best[v] = hn::IfThenElse(better, value, best[v]);
              place[v] = hn::IfThenElse(hn::RebindMask(kPlaces, better), here, place[v]);
            });
          });
          unroll<vecs>([&](auto v) TINYTL_INLINE {
            store_places(place[v], argmax + out + c + v * kLanes, at);
          });
        });
      });
}

inline void max_pool_argmax(const tt_pool_shape* s, int64_t first, int64_t last, const float* x,
                            int32_t wide, void* argmax) {
  if (wide) {
    argmax_as(s, first, last, x, static_cast<int32_t*>(argmax));
  } else {
    argmax_as(s, first, last, x, static_cast<int8_t*>(argmax));
  }
}

// dx = the sum, for every pixel, of what the windows over it send there: fn(rows, columns, h, w)
// is that of one window to pixel (h, w), a function of the offset in dy.
template <class F>
HWY_INLINE void gather_windows(const tt_pool_shape& s, int64_t first, int64_t last, bool accumulate,
                               float* dx, F&& fn) {
  dx += first * s.in_w * s.channels;
  for (int64_t row = first; row < last; ++row) {
    const int64_t image = row / s.in_h * s.out_h * s.out_w * s.channels;
    const int32_t h = static_cast<int32_t>(row % s.in_h);
    const tt_span over = tt_windows_over_row(&s, h);
    for (int32_t w = 0; w < s.in_w; ++w, dx += s.channels) {
      const tt_span across = tt_windows_over_column(&s, w);
      for_channels(s.channels, [&](int64_t c, auto vecs, auto at) TINYTL_INLINE {
        V sum[vecs];
        unroll<vecs>([&](auto v) TINYTL_INLINE {
          sum[v] = accumulate ? at.get(dx + c + v * kLanes) : hn::Zero(kD);
        });
        for (int32_t p = over.first; p < over.last; ++p) {
          const tt_span rows = tt_window_rows(&s, p);
          for (int32_t q = across.first; q < across.last; ++q) {
            const auto sent = fn(rows, tt_window_columns(&s, q), h, w);
            const int64_t from = image + (int64_t{p} * s.out_w + q) * s.channels + c;
            unroll<vecs>([&](auto v) TINYTL_INLINE {
              sum[v] = hn::Add(sum[v], sent(from + v * kLanes, at));
            });
          }
        }
        unroll<vecs>([&](auto v) TINYTL_INLINE { at.put(sum[v], dx + c + v * kLanes); });
      });
    }
  }
}

inline void average_pool_grad(const tt_pool_shape* s, int64_t first, int64_t last, const float* dy,
                              int32_t accumulate, float* dx) {
  int32_t known_size = 1;  // of most windows: divisions are slow
  float weight = 1.0f;
  gather_windows(*s, first, last, accumulate != 0, dx,
                 [&](tt_span rows, tt_span columns, int32_t, int32_t) TINYTL_INLINE {
                   const int32_t size = tt_window_size(s, rows, columns);
                   if (size != known_size) {
                     known_size = size;
                     weight = 1.0f / static_cast<float>(size);
                   }
                   return [=](int64_t from, auto at) TINYTL_INLINE {
                     return hn::Mul(at.get(dy + from), hn::Set(kD, weight));
                   };
                 });
}

template <class T>
HWY_INLINE void max_grad_as(const tt_pool_shape* s, int64_t first, int64_t last, const float* dy,
                            const T* argmax, float* dx) {
  gather_windows(*s, first, last, /*accumulate=*/false, dx,
                 [&](tt_span rows, tt_span columns, int32_t h, int32_t w) TINYTL_INLINE {
                   const Places here =
                       hn::Set(kPlaces, (h - rows.start) * s->kernel_w + w - columns.start);
                   return [=](int64_t from, auto at) TINYTL_INLINE {
                     const auto won = hn::Eq(load_places(argmax + from, at), here);
                     return hn::IfThenElseZero(hn::RebindMask(kD, won), at.get(dy + from));
                   };
                 });
}

inline void max_pool_grad(const tt_pool_shape* s, int64_t first, int64_t last, const float* dy,
                          const void* argmax, int32_t wide, float* dx) {
  if (wide) {
    max_grad_as(s, first, last, dy, static_cast<const int32_t*>(argmax), dx);
  } else {
    max_grad_as(s, first, last, dy, static_cast<const int8_t*>(argmax), dx);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

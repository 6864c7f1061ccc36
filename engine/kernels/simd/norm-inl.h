// Reductions of a line, softmax and layer norm. A sum has lanes in float for a block and a total in
// double, in an order that depends on the length alone.
#include "engine/kernels/simd/math-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_NORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_NORM_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_NORM_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_NORM_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

HWY_INLINE double sum_lanes(V v) { return double{hn::GetLane(hn::SumOfLanes(kD, v))}; }

constexpr int64_t kSumVectors = 64;  // whose lanes are summed in float

// Sum of fn(i, at) over vectors, the lanes behind the end left out.
template <class F>
HWY_INLINE double sum_vectors(int64_t n, F&& fn) {
  double total = 0;
  int64_t i = 0;
  while (i + kLanes <= n) {
    const int64_t end = std::min(n, i + kSumVectors * kLanes);
    V sum[4] = {hn::Zero(kD), hn::Zero(kD), hn::Zero(kD), hn::Zero(kD)};
    for (; i + 4 * kLanes <= end; i += 4 * kLanes) {
      unroll<4>([&](auto v)
                    TINYTL_INLINE { sum[v] = hn::Add(sum[v], fn(i + v * kLanes, WholeVector{})); });
    }
    for (; i + kLanes <= end; i += kLanes) sum[0] = hn::Add(sum[0], fn(i, WholeVector{}));
    total += sum_lanes(hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3])));
  }
  if (i < n) {
    const size_t rest = static_cast<size_t>(n - i);
    total += sum_lanes(hn::IfThenElseZero(hn::FirstN(kD, rest), fn(i, FirstLanes{rest})));
  }
  return total;
}

HWY_INLINE float largest(const float* x, int64_t n) {
  V top = set(x[0]);
  for_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
    V v = at.get(x + i);
    if constexpr (std::is_same_v<decltype(at), FirstLanes>) {
      v = hn::IfThenElse(hn::FirstN(kD, at.lanes), v, top);
    }
    top = hn::IfThenElse(hn::Gt(v, top), v, top);
  });
  return hn::GetLane(hn::MaxOfLanes(kD, top));
}

inline float reduce(tt_reduction kind, const float* x, int64_t n, float shift) {
  if (kind == TT_MAX) return largest(x, n);
  const V s = set(shift);
  const auto sum = [&](auto&& fn) TINYTL_INLINE {
    return static_cast<float>(sum_vectors(
        n, [&](int64_t i, auto at) TINYTL_INLINE { return fn(hn::Sub(at.get(x + i), s)); }));
  };
  if (kind == TT_SUM) return sum([](V v) TINYTL_INLINE { return v; });
  if (kind == TT_SUM_SQUARES) return sum([](V v) TINYTL_INLINE { return hn::Mul(v, v); });
  return sum([](V v) TINYTL_INLINE { return exp(v); });
}

inline void softmax(const float* x, int64_t n, int64_t step, int32_t is_log, float* y) {
  if (step != 1) return tt_softmax_f32(x, n, step, is_log, y);
  const float most = largest(x, n);
  const V top = set(most);
  if (is_log) {
    const V log_sum = set(std::log(reduce(TT_SUM_EXP, x, n, most)));
    for_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
      at.put(hn::Sub(hn::Sub(at.get(x + i), top), log_sum), y + i);
    });
    return;
  }
  const double sum = sum_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
    const V e = exp(hn::Sub(at.get(x + i), top));
    at.put(e, y + i);
    return e;
  });
  const V scale = set(static_cast<float>(1.0 / sum));
  for_vectors(
      n, [&](int64_t i, auto at) TINYTL_INLINE { at.put(hn::Mul(at.get(y + i), scale), y + i); });
}

inline void softmax_grad(const float* dy, const float* y, int64_t n, int64_t step, int32_t is_log,
                         float* dx) {
  if (step != 1) return tt_softmax_grad_f32(dy, y, n, step, is_log, dx);
  if (is_log) {
    const V sum = set(reduce(TT_SUM, dy, n, 0.0f));
    for_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
      at.put(hn::NegMulAdd(exp(at.get(y + i)), sum, at.get(dy + i)), dx + i);
    });
    return;
  }
  const V mean = set(static_cast<float>(sum_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
    return hn::Mul(at.get(dy + i), at.get(y + i));
  })));
  for_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
    at.put(hn::Mul(at.get(y + i), hn::Sub(at.get(dy + i), mean)), dx + i);
  });
}

struct Moments {
  V mean, inverse_std;
  HWY_INLINE V normal(V x) const { return hn::Mul(hn::Sub(x, mean), inverse_std); }
};

HWY_INLINE Moments moments_of(const float* x, int64_t n, float epsilon) {
  const float mean = reduce(TT_SUM, x, n, 0.0f) / static_cast<float>(n);
  const float variance = reduce(TT_SUM_SQUARES, x, n, mean) / static_cast<float>(n);
  return {set(mean), set(1.0f / std::sqrt(variance + epsilon))};
}

inline void layer_norm(const float* x, int64_t rows, int64_t n, const float* scale,
                       const float* bias, float epsilon, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const Moments m = moments_of(x, n, epsilon);
    for_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
      at.put(hn::MulAdd(m.normal(at.get(x + i)), at.get(scale + i), at.get(bias + i)), y + i);
    });
  }
}

inline void layer_norm_grad_input(const float* dy, const float* x, int64_t rows, int64_t n,
                                  const float* scale, float epsilon, float* dx) {
  const float share = 1.0f / static_cast<float>(n);
  for (int64_t r = 0; r < rows; ++r, dy += n, x += n, dx += n) {
    const Moments m = moments_of(x, n, epsilon);
    const auto g = [&](int64_t i, auto at)
                       TINYTL_INLINE { return hn::Mul(at.get(dy + i), at.get(scale + i)); };
    const double sum = sum_vectors(n, g);
    const double dot = sum_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
      return hn::Mul(g(i, at), m.normal(at.get(x + i)));
    });
    const V mean_g = set(static_cast<float>(sum) * share);
    const V mean_gn = set(static_cast<float>(dot) * share);
    for_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
      const V rest = hn::NegMulAdd(m.normal(at.get(x + i)), mean_gn, hn::Sub(g(i, at), mean_g));
      at.put(hn::Mul(m.inverse_std, rest), dx + i);
    });
  }
}

inline void layer_norm_grad_scale(const float* dy, const float* x, int64_t rows, int64_t n,
                                  float epsilon, float* dscale) {
  std::fill_n(dscale, n, 0.0f);
  for (int64_t r = 0; r < rows; ++r, dy += n, x += n) {
    const Moments m = moments_of(x, n, epsilon);
    for_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
      const V sum = hn::MulAdd(at.get(dy + i), m.normal(at.get(x + i)), at.get(dscale + i));
      at.put(sum, dscale + i);
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

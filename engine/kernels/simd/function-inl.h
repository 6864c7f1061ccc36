// Functions of one number with their gradients, and arithmetic with broadcasting. What is made of
// additions and multiplications alone has the bits of the portable kernel.
#include "engine/kernels/simd/math-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_FUNCTION_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_FUNCTION_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_FUNCTION_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_FUNCTION_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

HWY_INLINE V hard_swish(V x) {
  const V gate = hn::Add(hn::Mul(x, set(1.0f / 6.0f)), set(0.5f));
  return hn::Mul(x, clamp(gate, hn::Zero(kD), set(1.0f)));
}

HWY_INLINE V hard_swish_grad(V dy, V x) {
  const V slope = hn::Add(hn::Mul(x, set(1.0f / 3.0f)), set(0.5f));
  const V dx = hn::IfThenElse(hn::Ge(x, set(3.0f)), dy, hn::Mul(dy, slope));
  return hn::IfThenElse(hn::Le(x, set(-3.0f)), hn::Zero(kD), dx);
}

HWY_INLINE V silu_slope(V x) {
  const V one = set(1.0f), s = sigmoid(x);
  return hn::Mul(s, hn::MulAdd(x, hn::Sub(one, s), one));
}

HWY_INLINE V gelu_slope(V x) {
  const V density = gauss(x, 0.5f);
  return hn::MulAdd(hn::Mul(x, set(0.398942280f)), density, normal_cdf(x, density));
}

// sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3).
HWY_INLINE V sigmoid_of_2u(V x) {
  const V inner = hn::MulAdd(hn::Mul(x, x), set(2 * 0.797884561f * 0.044715f), set(1.59576912f));
  return sigmoid(hn::Mul(x, inner));
}

HWY_INLINE V gelu_tanh_slope(V x) {
  const V one = set(1.0f), s = sigmoid_of_2u(x);
  const V du = hn::MulAdd(hn::Mul(x, x), set(3 * 2 * 0.797884561f * 0.044715f), set(1.59576912f));
  return hn::Mul(s, hn::MulAdd(hn::Mul(x, du), hn::Sub(one, s), one));
}

HWY_INLINE V softplus(V x) {
  const V zero = hn::Zero(kD), raised = hn::IfThenElse(hn::Gt(x, zero), x, zero);
  return hn::Add(raised, log1p_small(exp(hn::Neg(hn::Abs(x)))));
}

HWY_INLINE V elu(V x, V alpha) {
  return hn::IfThenElse(hn::Gt(x, hn::Zero(kD)), x, hn::Mul(alpha, expm1_negative(x)));
}

template <class F>
HWY_INLINE void map_all(const float* x, int64_t n, float* y, F&& fn) {
  for_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE { at.put(fn(at.get(x + i)), y + i); });
}

inline void map(tt_function f, const float* x, int64_t n, float alpha, float beta, float* y) {
  const V a = set(alpha), b = set(beta), zero = hn::Zero(kD), one = set(1.0f);
  const auto all = [&](auto&& fn) TINYTL_INLINE { map_all(x, n, y, fn); };
  switch (f) {
    case TT_LINEAR:
      return all([&](V v) TINYTL_INLINE { return hn::Mul(hn::Add(v, b), a); });
    case TT_ABS:
      return all([](V v) TINYTL_INLINE { return hn::Abs(v); });
    case TT_LEAKY_RELU:
      return all([&](V v)
                     TINYTL_INLINE { return hn::IfThenElse(hn::Gt(v, zero), v, hn::Mul(v, a)); });
    case TT_HARD_SIGMOID:
      return all([&](V v) TINYTL_INLINE { return clamp(hn::Add(hn::Mul(a, v), b), zero, one); });
    case TT_HARD_SWISH:
      return all([](V v) TINYTL_INLINE { return hard_swish(v); });
    case TT_EXP:
      return all([](V v) TINYTL_INLINE { return exp(v); });
    case TT_LOG:
      return all([](V v) TINYTL_INLINE { return log(v); });
    case TT_SIGMOID:
      return all([](V v) TINYTL_INLINE { return sigmoid(v); });
    case TT_TANH:
      return all([](V v) TINYTL_INLINE { return tanh(v); });
    case TT_ERF:
      return all([](V v) TINYTL_INLINE { return erf(v); });
    case TT_ELU:
      return all([&](V v) TINYTL_INLINE { return elu(v, a); });
    case TT_SOFTPLUS:
      return all([](V v) TINYTL_INLINE { return softplus(v); });
    case TT_SILU:
      return all([&](V v) TINYTL_INLINE { return hn::Div(v, hn::Add(one, exp(hn::Neg(v)))); });
    case TT_GELU:
      return all([](V v) TINYTL_INLINE { return hn::Mul(v, normal_cdf(v, gauss(v, 0.5f))); });
    case TT_GELU_TANH:
      return all([](V v) TINYTL_INLINE { return hn::Mul(v, sigmoid_of_2u(v)); });
  }
}

inline void map_grad(tt_function f, const float* dy, const float* saved, int64_t n, float alpha,
                     float* dx) {
  const V a = set(alpha), one = set(1.0f), zero = hn::Zero(kD);
  const auto all = [&](auto&& fn) TINYTL_INLINE {
    for_vectors(n, [&](int64_t i, auto at)
                       TINYTL_INLINE { at.put(fn(at.get(dy + i), at.get(saved + i)), dx + i); });
  };
  switch (f) {
    case TT_HARD_SWISH:
      return all([](V g, V x) TINYTL_INLINE { return hard_swish_grad(g, x); });
    case TT_SIGMOID:
      return all([&](V g, V y) TINYTL_INLINE { return hn::Mul(hn::Mul(g, y), hn::Sub(one, y)); });
    case TT_TANH:
      return all([&](V g, V y) TINYTL_INLINE { return hn::Mul(g, hn::Sub(one, hn::Mul(y, y))); });
    case TT_ERF:
      return all([](V g, V x) TINYTL_INLINE {
        return hn::Mul(hn::Mul(g, set(1.12837917f)), gauss(x, 1.0f));
      });
    case TT_ELU:
      return all([&](V g, V y) TINYTL_INLINE {
        return hn::IfThenElse(hn::Gt(y, zero), g, hn::Mul(g, hn::Add(y, a)));
      });
    case TT_SOFTPLUS:
      return all([](V g, V y)
                     TINYTL_INLINE { return hn::Neg(hn::Mul(g, expm1_negative(hn::Neg(y)))); });
    case TT_SILU:
      return all([](V g, V x) TINYTL_INLINE { return hn::Mul(g, silu_slope(x)); });
    case TT_GELU:
      return all([](V g, V x) TINYTL_INLINE { return hn::Mul(g, gelu_slope(x)); });
    case TT_GELU_TANH:
      return all([](V g, V x) TINYTL_INLINE { return hn::Mul(g, gelu_tanh_slope(x)); });
    default:
      return tt_map_grad_f32(f, dy, saved, n, alpha, dx);
  }
}

inline void mask_scale(const float* x, const uint8_t* mask, int64_t n, float set_factor,
                       float clear_factor, float* y) {
  const V on = set(set_factor), off = set(clear_factor);
  const int64_t whole = n / kMaskRun * kMaskRun;
  for (int64_t i = 0; i < whole; i += kMaskRun) {
    uint64_t bits;
    std::memcpy(&bits, mask + i / 8, sizeof bits);
    unroll<kMaskRun / kLanes>([&](auto v) TINYTL_INLINE {
      const int64_t at = i + v * kLanes;
      const V factor = hn::IfThenElse(mask_from(bits >> (v * kLanes)), on, off);
      store(hn::Mul(load(x + at), factor), y + at);
    });
  }
  tt_mask_scale_f32(x + whole, mask + whole / 8, n - whole, set_factor, clear_factor, y + whole);
}

template <class F>
HWY_INLINE void combine_rows(const tt_operand& x, const tt_operand& y, int64_t rows, int64_t cols,
                             float* z, F&& fn) {
  for (int64_t r = 0; r < rows; ++r, z += cols) {
    const float* a = x.data + r * x.row;
    const float* b = y.data + r * y.row;
    if (x.col != 0 && y.col != 0) {
      for_vectors(cols, [&](int64_t i, auto at)
                            TINYTL_INLINE { at.put(fn(at.get(a + i), at.get(b + i)), z + i); });
    } else if (y.col == 0) {
      const V all = set(*b);
      for_vectors(cols, [&](int64_t i, auto at) TINYTL_INLINE {
        at.put(fn(x.col != 0 ? at.get(a + i) : set(*a), all), z + i);
      });
    } else {
      const V all = set(*a);
      for_vectors(cols,
                  [&](int64_t i, auto at) TINYTL_INLINE { at.put(fn(all, at.get(b + i)), z + i); });
    }
  }
}

inline void combine(tt_arithmetic op, const tt_operand* x, const tt_operand* y, int64_t rows,
                    int64_t cols, float* z) {
  const auto all = [&](auto&& fn) TINYTL_INLINE { combine_rows(*x, *y, rows, cols, z, fn); };
  switch (op) {
    case TT_ADD:
      return all([](V u, V v) TINYTL_INLINE { return hn::Add(u, v); });
    case TT_SUB:
      return all([](V u, V v) TINYTL_INLINE { return hn::Sub(u, v); });
    case TT_MUL:
      return all([](V u, V v) TINYTL_INLINE { return hn::Mul(u, v); });
    case TT_DIV:
      return all([](V u, V v) TINYTL_INLINE { return hn::Div(u, v); });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

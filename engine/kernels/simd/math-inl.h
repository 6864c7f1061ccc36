// exp, log and their relatives of a vector, within about 2 units in the last place. NaN gives NaN,
// what overflows gives what the functions of <cmath> give, and powers below 2e-38 are 0.
#include "engine/kernels/simd/elementwise-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_MATH_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_MATH_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_MATH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

using DI = hn::RebindToSigned<D>;
using VI = hn::Vec<DI>;
constexpr DI kDI;

HWY_INLINE V set(float value) { return hn::Set(kD, value); }

// The highest coefficient first.
template <class... Rest>
HWY_INLINE V polynomial(V x, float first, Rest... rest) {
  V y = set(first);
  ((y = hn::MulAdd(y, x, set(rest))), ...);
  return y;
}

// x = rest + power ln 2, |rest| <= ln 2 / 2, for |x| < 2^20. The power is the sum of a number whose
// units are its last digits and the power: its bits end in those of an integer.
struct Reduced {
  V rest, power;
};

constexpr float kIntegers = 12582912.0f;  // 1.5 * 2^23

HWY_INLINE Reduced reduce_to_ln2(V x) {
  const V power = hn::MulAdd(x, set(1.44269504f), set(kIntegers));
  const V q = hn::Sub(power, set(kIntegers));
  // ln 2 in two parts, the first so short that its product with q is exact.
  const V rest = hn::MulAdd(q, set(-0.693145752f), x);
  return {hn::MulAdd(q, set(-1.42860677e-6f), rest), power};
}

// 2^(power + extra); 0 where that is 2^-127.
HWY_INLINE V two_to(V power, int32_t extra) {
  const VI bits = hn::BitCast(kDI, power);
  return hn::BitCast(kD, hn::ShiftLeft<23>(hn::Add(bits, hn::Set(kDI, 127 + extra))));
}

// exp(x) - 1 for |x| <= ln 2 / 2 or a little more.
HWY_INLINE V expm1_reduced(V x) {
  const V p = polynomial(x, 1.98929920e-4f, 1.39354519e-3f, 8.33330862e-3f, 4.16664481e-2f,
                         0.166666672f, 0.5f);
  return hn::MulAdd(p, hn::Mul(x, x), x);
}

// exp(rest) 2^power. Twice the one and half the other, so that what is finite comes out finite.
HWY_INLINE V exp_of(V rest, V power) {
  const V two = set(2.0f);
  return hn::Mul(hn::MulAdd(expm1_reduced(rest), two, two), two_to(power, -1));
}

constexpr float kLeastExponent = -87.6f;  // from there on exp is 0

HWY_INLINE V exp(V x) {
  const Reduced r = reduce_to_ln2(clamp(x, set(kLeastExponent), set(89.0f)));
  return exp_of(r.rest, r.power);
}

// exp(x) - 1 for x <= 0, with the digits of a small result.
HWY_INLINE V expm1_negative(V x) {
  const Reduced r = reduce_to_ln2(hn::IfThenElse(hn::Lt(x, set(-80.0f)), set(-80.0f), x));
  const V scale = two_to(r.power, 0);
  return hn::MulAdd(expm1_reduced(r.rest), scale, hn::Sub(scale, set(1.0f)));
}

// log((1 + w) / (1 - w)) for |w| <= 1/3.
HWY_INLINE V log_of_ratio(V w) {
  const V z = hn::Mul(w, w);
  const V p = polynomial(z, 0.232243299f, 0.217065752f, 0.28592357f, 0.399997056f, 0.666666687f);
  return hn::MulAdd(p, hn::Mul(w, z), hn::Add(w, w));
}

// log(1 + x) for 0 <= x <= 1.
HWY_INLINE V log1p_small(V x) { return log_of_ratio(hn::Div(x, hn::Add(set(2.0f), x))); }

HWY_INLINE V log(V x) {
  const auto tiny = hn::Lt(x, set(1.17549435e-38f));  // subnormal
  const VI bits = hn::BitCast(kDI, hn::IfThenElse(tiny, hn::Mul(x, set(8388608.0f)), x));
  // x = m 2^power, m from sqrt(1/2) on.
  const VI power = hn::ShiftRight<23>(hn::Sub(bits, hn::Set(kDI, 0x3f3504f3)));
  const V m = hn::BitCast(kD, hn::Sub(bits, hn::ShiftLeft<23>(power)));
  const V k = hn::Sub(hn::ConvertTo(kD, power), hn::IfThenElseZero(tiny, set(23.0f)));
  const V f = hn::Sub(m, set(1.0f));
  const V log_m = log_of_ratio(hn::Div(f, hn::Add(set(2.0f), f)));
  const V y = hn::MulAdd(k, set(0.693145752f), hn::MulAdd(k, set(1.42860677e-6f), log_m));
  const V infinity = set(std::numeric_limits<float>::infinity());
  const V known = hn::IfThenElse(hn::Lt(x, infinity), y, x);  // infinity and NaN are their own
  const V positive = hn::IfThenElse(hn::Eq(x, hn::Zero(kD)), hn::Neg(infinity), known);
  return hn::IfThenElse(hn::Lt(x, hn::Zero(kD)), set(std::numeric_limits<float>::quiet_NaN()),
                        positive);
}

HWY_INLINE V sigmoid(V x) {
  const V one = set(1.0f);
  return hn::Div(one, hn::Add(one, exp(hn::Neg(x))));
}

HWY_INLINE V tanh(V x) {
  const V a = hn::Abs(x), z = hn::Mul(a, a);
  const V p =
      polynomial(z, -6.09671418e-3f, 2.09971797e-2f, -5.38509078e-2f, 0.133327693f, -0.333333284f);
  const V small = hn::MulAdd(p, hn::Mul(a, z), a);
  const V one = set(1.0f), two = set(2.0f);
  const V large = hn::Sub(one, hn::Div(two, hn::Add(exp(hn::Add(a, a)), one)));
  return hn::CopySign(hn::IfThenElse(hn::Lt(a, set(0.625f)), small, large), x);
}

// exp(-factor x^2), factor 1/2 or 1. The square of a float has twice its digits, and the exponent
// needs them all: x^2 = h^2 + (x - h)(x + h), h^2 exact.
HWY_INLINE V gauss(V x, float factor) {
  const V a = clamp(x, set(-15.0f), set(15.0f));
  const V h = hn::BitCast(kD, hn::And(hn::BitCast(kDI, a), hn::Set(kDI, ~0xfff)));
  const V least = set(kLeastExponent);
  const V large = hn::Mul(hn::Mul(h, h), set(-factor));
  const V small = hn::Mul(hn::Mul(hn::Sub(a, h), hn::Add(a, h)), set(-factor));
  const Reduced r = reduce_to_ln2(hn::IfThenElse(hn::Lt(large, least), least, large));
  return exp_of(hn::Add(r.rest, small), r.power);
}

// Phi(-t) exp(t^2 / 2) for t >= 0, Phi the normal distribution function.
HWY_INLINE V mills_ratio(V t) {
  const V one = set(1.0f);
  const V u = hn::Div(one, hn::MulAdd(t, set(0.3f), one));
  return hn::Mul(
      u, polynomial(u, -0.0209560245f, 0.114257455f, -0.23252441f, 0.19755058f, -0.0842134804f,
                    0.0987113789f, 0.0775179043f, 0.110418409f, 0.119550429f, 0.119687751f));
}

// Phi(x), `density` = exp(-x^2 / 2).
HWY_INLINE V normal_cdf(V x, V density) {
  const V tail = hn::Mul(density, mills_ratio(hn::Abs(x)));
  return hn::IfThenElse(hn::Lt(x, hn::Zero(kD)), tail, hn::Sub(set(1.0f), tail));
}

HWY_INLINE V erf(V x) {
  const V a = hn::Abs(x), z = hn::Mul(a, a);
  const V small = hn::Mul(a, polynomial(z, 7.87587487e-5f, -8.0168643e-4f, 5.18908724e-3f,
                                        -2.68542115e-2f, 0.112835944f, -0.37612626f, 1.12837911f));
  const V tail = hn::Mul(gauss(a, 1.0f), mills_ratio(hn::Mul(a, set(1.41421356f))));
  const V large = hn::Sub(set(1.0f), hn::Add(tail, tail));
  return hn::CopySign(hn::IfThenElse(hn::Lt(a, set(1.0f)), small, large), x);
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

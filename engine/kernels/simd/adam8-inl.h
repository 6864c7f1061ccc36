// Adam with its state in 8 bits, to the bits of the portable kernel. Included once for every
// instruction set.
#include "engine/kernels/portable/adam8.h"
#include "engine/kernels/simd/vector-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_ADAM8_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_ADAM8_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_ADAM8_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_ADAM8_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

using Words = hn::RebindToUnsigned<D>;
using Codes = hn::Rebind<uint8_t, D>;
using W = hn::Vec<Words>;
constexpr Words kWords;
constexpr Codes kCodes;

template <int kMantissa>
HWY_INLINE V decode8(W code) {
  const W bits = hn::ShiftLeft<23 - kMantissa>(
      hn::Add(code, hn::Set(kWords, uint32_t{TT_ADAM8_EXPONENT} << kMantissa)));
  return hn::Sub(hn::BitCast(kD, bits), hn::Set(kD, kTtAdam8Shift));
}

template <int kMantissa>
HWY_INLINE W encode8(V x, uint32_t most, W random) {
  const W bits = hn::Add(hn::BitCast(kWords, hn::Add(x, hn::Set(kD, kTtAdam8Shift))), random);
  const W code = hn::Sub(hn::ShiftRight<23 - kMantissa>(bits),
                         hn::Set(kWords, uint32_t{TT_ADAM8_EXPONENT} << kMantissa));
  return hn::Min(code, hn::Set(kWords, most));
}

HWY_INLINE W hash8(W element, W gradient, W salt) {
  W h = hn::Xor(hn::Xor(hn::Mul(element, hn::Set(kWords, 0x9e3779b1u)), gradient), salt);
  h = hn::Mul(hn::Xor(h, hn::ShiftRight<16>(h)), hn::Set(kWords, 0x85ebca6bu));
  h = hn::Mul(hn::Xor(h, hn::ShiftRight<13>(h)), hn::Set(kWords, 0xc2b2ae35u));
  return hn::Xor(h, hn::ShiftRight<16>(h));
}

HWY_INLINE W load_codes(const uint8_t* p) { return hn::PromoteTo(kWords, hn::LoadU(kCodes, p)); }
HWY_INLINE void store_codes(W codes, uint8_t* p) {
  hn::StoreU(hn::DemoteTo(kCodes, hn::BitCast(hn::RebindToSigned<D>(), codes)), kCodes, p);
}

HWY_INLINE void adam8_block(float* p, const float* g, uint8_t* m, uint8_t* v, float* m_scale,
                            float* v_scale, int64_t first, const tt_adam_step& s) {
  HWY_ALIGN float mean[TT_ADAM8_BLOCK], root[TT_ADAM8_BLOCK];
  const V step = hn::Set(kD, s.rate / s.correction1), scale = hn::Set(kD, s.grad_scale);
  const V correction = hn::Set(kD, std::sqrt(s.correction2)), tiny = hn::Set(kD, s.epsilon);
  const V shrink = hn::Set(kD, s.decoupled ? s.rate * s.weight_decay : 0.0f);
  const V decay = hn::Set(kD, s.decoupled ? 0.0f : s.weight_decay);
  const V b1 = hn::Set(kD, s.beta1), b2 = hn::Set(kD, s.beta2);
  const V rest1 = hn::Set(kD, 1.0f - s.beta1), rest2 = hn::Set(kD, 1.0f - s.beta2);
  const V from_mean = hn::Set(kD, *m_scale), from_root = hn::Set(kD, *v_scale);
  const W sign_bit = hn::Set(kWords, 0x80u);
  V most_mean = hn::Zero(kD), most_root = hn::Zero(kD);
  for (int i = 0; i < TT_ADAM8_BLOCK; i += kLanes) {
    const V old = load(p + i);
    const V start = hn::Sub(old, hn::Mul(shrink, old));
    const V d = hn::Add(hn::Mul(load(g + i), scale), hn::Mul(decay, old));
    const W code = load_codes(m + i);
    const V size = hn::Mul(decode8<TT_ADAM8_MEAN_BITS>(hn::AndNot(sign_bit, code)), from_mean);
    const W sign = hn::ShiftLeft<24>(hn::And(code, sign_bit));
    const V old_mean = hn::BitCast(kD, hn::Xor(hn::BitCast(kWords, size), sign));
    const V old_root = hn::Mul(
        hn::Max(decode8<TT_ADAM8_ROOT_BITS>(load_codes(v + i)), hn::Set(kD, kTtAdam8LeastRoot)),
        from_root);
    const V new_mean = hn::Add(hn::Mul(b1, old_mean), hn::Mul(rest1, d));
    const V new_root =
        hn::Sqrt(hn::Add(hn::Mul(b2, hn::Mul(old_root, old_root)), hn::Mul(rest2, hn::Mul(d, d))));
    const V divisor = hn::Add(hn::Div(new_root, correction), tiny);
    store(hn::Sub(start, hn::Div(hn::Mul(step, new_mean), divisor)), p + i);
    hn::Store(new_mean, kD, mean + i);
    hn::Store(new_root, kD, root + i);
    most_mean = hn::Max(most_mean, hn::Abs(new_mean));
    most_root = hn::Max(most_root, new_root);
  }
  *m_scale = tt_adam8_scale(hn::GetLane(hn::MaxOfLanes(kD, most_mean)));
  *v_scale = tt_adam8_scale(hn::GetLane(hn::MaxOfLanes(kD, most_root)));
  const V to_mean = hn::Set(kD, tt_adam8_inverse(*m_scale));
  const V to_root = hn::Set(kD, tt_adam8_inverse(*v_scale));
  const W salt = hn::Set(kWords, tt_adam8_salt(&s));
  const W low_bits = hn::Set(kWords, 0x7ffffu);
  for (int i = 0; i < TT_ADAM8_BLOCK; i += kLanes) {
    const W element = hn::Iota(kWords, static_cast<uint32_t>(first + i));
    const W h = hash8(element, hn::BitCast(kWords, load(g + i)), salt);
    const V average = hn::Load(kD, mean + i);
    const W sign = hn::And(hn::ShiftRight<24>(hn::BitCast(kWords, average)), sign_bit);
    const W code =
        encode8<TT_ADAM8_MEAN_BITS>(hn::Mul(hn::Abs(average), to_mean), 127, hn::ShiftRight<12>(h));
    store_codes(hn::Or(code, sign), m + i);
    store_codes(encode8<TT_ADAM8_ROOT_BITS>(hn::Mul(hn::Load(kD, root + i), to_root), 255,
                                            hn::And(h, low_bits)),
                v + i);
  }
}

// A block that is not whole, filled up with what changes no result.
inline void adam8_last(float* p, const float* g, uint8_t* m, uint8_t* v, float* m_scale,
                       float* v_scale, int64_t first, int64_t n, const tt_adam_step& s) {
  HWY_ALIGN float own_p[TT_ADAM8_BLOCK] = {}, own_g[TT_ADAM8_BLOCK] = {};
  HWY_ALIGN uint8_t own_m[TT_ADAM8_BLOCK] = {}, own_v[TT_ADAM8_BLOCK] = {};
  std::copy_n(p, n, own_p);
  std::copy_n(g, n, own_g);
  std::copy_n(m, n, own_m);
  std::copy_n(v, n, own_v);
  adam8_block(own_p, own_g, own_m, own_v, m_scale, v_scale, first, s);
  std::copy_n(own_p, n, p);
  std::copy_n(own_m, n, m);
  std::copy_n(own_v, n, v);
}

inline void adam8(float* p, const float* g, uint8_t* m, uint8_t* v, float* m_scale, float* v_scale,
                  int64_t first, int64_t n, const tt_adam_step* s) {
  int64_t i = 0;
  for (; i + TT_ADAM8_BLOCK <= n; i += TT_ADAM8_BLOCK) {
    adam8_block(p + i, g + i, m + i, v + i, m_scale++, v_scale++, first + i, *s);
  }
  if (i < n) adam8_last(p + i, g + i, m + i, v + i, m_scale, v_scale, first + i, n - i, *s);
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

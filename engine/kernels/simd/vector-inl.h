// Vector type, partial loads and stores, unrolling. Included once for every instruction set.
#include <cstddef>
#include <cstdint>
#include <utility>

#include "hwy/highway.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_VECTOR_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_VECTOR_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_VECTOR_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_VECTOR_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr D kD;
constexpr int kLanes = HWY_LANES(float);

// Where masked loads and stores leave the masked bytes alone. Elsewhere they may fault.
constexpr bool kMaskedMemory = !HWY_MEM_OPS_MIGHT_FAULT || HWY_TARGET == HWY_AVX2;

HWY_INLINE V load(const float* p) { return hn::LoadU(kD, p); }
HWY_INLINE void store(V v, float* p) { hn::StoreU(v, kD, p); }

// The first `n` lanes, n <= kLanes; the others are 0 and their memory is not touched.
HWY_INLINE V load_first(const float* p, size_t n) {
  if constexpr (kMaskedMemory) return hn::MaskedLoad(hn::FirstN(kD, n), kD, p);
  HWY_ALIGN float lanes[kLanes] = {};
  for (size_t i = 0; i < n; ++i) lanes[i] = p[i];
  return hn::Load(kD, lanes);
}

HWY_INLINE void store_first(V v, float* p, size_t n) {
  if constexpr (kMaskedMemory) {
    hn::BlendedStore(v, hn::FirstN(kD, n), kD, p);
  } else {
    HWY_ALIGN float lanes[kLanes];
    hn::Store(v, kD, lanes);
    for (size_t i = 0; i < n; ++i) p[i] = lanes[i];
  }
}

// 8-bit integers as floats. Where masked loads of bytes exist, load_first() reads no others.
constexpr bool kMaskedBytes = !HWY_MEM_OPS_MIGHT_FAULT;
using Bytes = hn::Rebind<int8_t, D>;
constexpr Bytes kBytes;

HWY_INLINE V to_floats(hn::Vec<Bytes> bytes) {
  return hn::ConvertTo(kD, hn::PromoteTo(hn::RebindToSigned<D>(), bytes));
}
HWY_INLINE V load(const int8_t* p) { return to_floats(hn::LoadU(kBytes, p)); }

HWY_INLINE V load_first(const int8_t* p, size_t n) {
  return to_floats(hn::MaskedLoad(hn::FirstN(kBytes, n), kBytes, p));
}

template <bool kPartial, class T>
HWY_INLINE V load_some(const T* p, size_t n) {
  if constexpr (kPartial) return load_first(p, n);
  return load(p);
}

template <bool kPartial>
HWY_INLINE void store_some(V v, float* p, size_t n) {
  if constexpr (kPartial) return store_first(v, p, n);
  store(v, p);
}

// f(0), f(1), ... f(N - 1) with constant arguments, so that arrays of vectors live in registers.
template <int N, class F>
HWY_INLINE void unroll(F&& f) {
  [&]<int... I>(std::integer_sequence<int, I...>) HWY_ATTR __attribute__((always_inline)) {
    (f(std::integral_constant<int, I>{}), ...);
  }
  (std::make_integer_sequence<int, N>{});
}

// Marks the lambdas given to unroll().
#define TINYTL_INLINE HWY_ATTR __attribute__((always_inline))

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

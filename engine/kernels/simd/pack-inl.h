// Copies of a strip of B whose rows are not contiguous, or cannot be read in part: floats, row by
// row, whole vectors wide. What stands in columns beyond the last one is not used.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "engine/kernels/simd/vector-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_PACK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_PACK_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_PACK_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_PACK_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

// Element (k, j), from b[k * row + j * col].
template <class T>
struct Strip {
  const T* b;
  int64_t row, col;
  int64_t depth, cols;
  const float* scale;  // of row k, or null
};

// fn(i, v) for the i-th 4 bytes of the 16 in blocks 0, 1, ... of r[0], of r[1], r[2] and r[3].
template <class F>
HWY_INLINE void transpose_in_blocks(const V* r, F&& fn) {
  const hn::Repartition<double, D> d2;
  const auto low01 = hn::BitCast(d2, hn::InterleaveLower(kD, r[0], r[1]));
  const auto low23 = hn::BitCast(d2, hn::InterleaveLower(kD, r[2], r[3]));
  const auto high01 = hn::BitCast(d2, hn::InterleaveUpper(kD, r[0], r[1]));
  const auto high23 = hn::BitCast(d2, hn::InterleaveUpper(kD, r[2], r[3]));
  fn(std::integral_constant<int, 0>{}, hn::BitCast(kD, hn::InterleaveLower(d2, low01, low23)));
  fn(std::integral_constant<int, 1>{}, hn::BitCast(kD, hn::InterleaveUpper(d2, low01, low23)));
  fn(std::integral_constant<int, 2>{}, hn::BitCast(kD, hn::InterleaveLower(d2, high01, high23)));
  fn(std::integral_constant<int, 3>{}, hn::BitCast(kD, hn::InterleaveUpper(d2, high01, high23)));
}

// 16 bytes from each of the addresses at(0), at(1), ...: one vector.
template <class At>
HWY_INLINE V load_blocks(At&& at) {
  const hn::Full128<float> d4;
  const auto block = [&](int i) TINYTL_INLINE {
    return hn::LoadU(d4, reinterpret_cast<const float*>(at(i)));
  };
  if constexpr (kLanes == 4) {
    return block(0);
  } else if constexpr (kLanes == 8) {
    return hn::Combine(kD, block(1), block(0));
  } else {
#if HWY_TARGET <= HWY_AVX3
    // Loads under masks: the shuffles are the narrow place of a transposition.
    __m512 all = _mm512_broadcast_f32x4(block(0).raw);
    all = _mm512_mask_broadcast_f32x4(all, 0x00F0, block(1).raw);
    all = _mm512_mask_broadcast_f32x4(all, 0x0F00, block(2).raw);
    return V{_mm512_mask_broadcast_f32x4(all, 0xF000, block(3).raw)};
#endif
  }
}

// Rows of a strip that are transposed at a time.
template <class T>
constexpr int64_t kBlockOf = std::is_same_v<T, float> ? kLanes : 16;

// Those rows of the columns at(0), at(1), ..., to dst and every `width` elements on.
template <class At>
HWY_INLINE void store_block(At&& at, const float*, float* dst, int64_t width,
                            std::type_identity<float>) {
  unroll<kLanes / 4>([&](auto d) TINYTL_INLINE {
    V four[4];
    unroll<4>([&](auto i) TINYTL_INLINE {
      four[i] = load_blocks([&](int q) TINYTL_INLINE { return at(4 * q + i) + 4 * d; });
    });
    transpose_in_blocks(four,
                        [&](auto i, V v) TINYTL_INLINE { store(v, dst + (4 * d + i) * width); });
  });
}

template <class At>
HWY_INLINE void store_block(At&& at, const float* scale, float* dst, int64_t width,
                            std::type_identity<int8_t>) {
  V four[4];
  unroll<4>([&](auto i) TINYTL_INLINE {
    four[i] = load_blocks([&](int q) TINYTL_INLINE { return at(4 * q + i); });
  });
  transpose_in_blocks(four, [&](auto i, V v) TINYTL_INLINE {
    const auto bytes = hn::BitCast(hn::RebindToSigned<D>(), v);
    unroll<4>([&](auto byte) TINYTL_INLINE {
      const int64_t k = 4 * i + byte;
      V element = hn::ConvertTo(kD, hn::ShiftRight<24>(hn::ShiftLeft<24 - 8 * byte>(bytes)));
      if (scale) element = hn::Mul(element, hn::Set(kD, scale[k]));
      store(element, dst + k * width);
    });
  });
}

// kLanes columns of a strip with row == 1, from column `first` on. The last one stands for those
// that do not exist.
template <class T>
HWY_INLINE void pack_columns(const Strip<T>& s, int64_t first, int64_t width, float* dst) {
  constexpr int64_t kStep = kBlockOf<T>;
  constexpr std::type_identity<T> kType;
  const T* column[kLanes];
  for (int64_t j = 0; j < kLanes; ++j) {
    column[j] = s.b + std::min(first + j, s.cols - 1) * s.col;
  }
  const auto pack_rows = [&](int64_t k) TINYTL_INLINE {
    store_block([&](int j) TINYTL_INLINE { return column[j] + k; }, s.scale ? s.scale + k : nullptr,
                dst + k * width, width, kType);
  };
  int64_t k = 0;
  for (; k + kStep <= s.depth; k += kStep) pack_rows(k);
  if (k == s.depth) return;
  if (s.depth > kStep) return pack_rows(s.depth - kStep);  // some of them again
  T block[kLanes][kStep] = {};
  float scale[kStep] = {}, rows[kStep * kLanes];
  for (int64_t j = 0; j < kLanes; ++j) std::copy_n(column[j], s.depth, block[j]);
  if (s.scale) std::copy_n(s.scale, s.depth, scale);
  store_block([&](int j) TINYTL_INLINE { return block[j]; }, s.scale ? scale : nullptr, rows,
              kLanes, kType);
  for (k = 0; k < s.depth; ++k) store(load(rows + k * kLanes), dst + k * width);
}

// dst[k * width + j], width a multiple of kLanes.
template <class T>
HWY_NOINLINE void pack_strip(const Strip<T>& s, int64_t width, float* dst) {
  if (s.row == 1) {
    for (int64_t j = 0; j < width; j += kLanes) pack_columns(s, j, width, dst + j);
    return;
  }
  for (int64_t k = 0; k < s.depth; ++k) {
    const float scale = s.scale ? s.scale[k] : 1.0f;
    for (int64_t j = 0; j < width; ++j) {
      const int64_t from = std::min(j, s.cols - 1);
      dst[k * width + j] = static_cast<float>(s.b[k * s.row + from * s.col]) * scale;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

// The innermost kernel: a tile of C, rows x vectors, stays in registers while the summation index
// runs. Elements of A are broadcast through any strides; B has contiguous rows, of floats or of
// 8-bit integers.
#include <array>
#include <type_traits>

#include "engine/kernels/simd/vector-inl.h"
#include "hwy/cache_control.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_TILE_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_TILE_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_TILE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

// Registers hold the sums, a row of B and an element of A: 32 of them 14 x 2 sums, which cut images
// of 224, 112, ... 7 pixels without a rest, or 9 x 3; 16 of them 6 x 2, 4 x 3 or 12 x 1.
constexpr bool kManyRegisters = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON;
constexpr int kMaxVecs = 3;
constexpr int tile_rows(int64_t vecs) {
  if (vecs == 1) return kManyRegisters ? 14 : 12;
  if (vecs == 2) return kManyRegisters ? 14 : 6;
  return kManyRegisters ? 9 : 4;
}
constexpr int kWideVecs = kManyRegisters ? 16 : 8;  // of a tile of one row: B is read as it lies

constexpr int64_t kAhead = 32;  // rows of B to fetch early: a memory access takes that long

// Whether the last vector of a row of B may be read where it lies.
template <class T>
constexpr bool kReadsPart = std::is_same_v<T, float> ? kMaskedMemory : kMaskedBytes;

struct Segment {  // a run of k0
  int64_t a, b;
};

struct Tile {
  const float* a;
  int64_t a_row, a_k0;
  const void* b;
  int64_t b_k0;
  bool b_packed;  // the segments of b follow each other
  const Segment* segments;
  int64_t segment_count, length;
  bool scaled;  // by factor, and by scale where this is not null
  float factor;
  const float* scale;  // of the columns
  const float* bias;
  float* c;
  int64_t c_row;
  bool accumulate;
  size_t last_lanes;  // of the last vector of a row of c
};

template <int kRows, int kVecs, bool kPartial, class T>
HWY_NOINLINE void run_tile(const Tile& t) {
  V sum[kRows][kVecs];
  unroll<kRows>([&](auto i) TINYTL_INLINE {
    unroll<kVecs>([&](auto v) TINYTL_INLINE { sum[i][v] = hn::Zero(kD); });
  });
  // One pointer for three rows: what the address modes of common processors reach.
  constexpr int kPointers = (kRows + 2) / 3;
  const int64_t a_row = t.a_row, a_k0 = t.a_k0, b_k0 = t.b_k0, length = t.length;
  const size_t last_lanes = t.last_lanes;
  const T* b = static_cast<const T*>(t.b);
  for (int64_t s = 0; s < t.segment_count; ++s) {
    const float* a[kPointers];
    unroll<kPointers>([&](auto q) TINYTL_INLINE { a[q] = t.a + t.segments[s].a + q * 3 * a_row; });
    if (!t.b_packed) b = static_cast<const T*>(t.b) + t.segments[s].b;
    for (int64_t k = 0; k < length; ++k) {
      V row[kVecs];
      unroll<kVecs>([&](auto v) TINYTL_INLINE {
        constexpr bool kSome = kPartial && kReadsPart<T> && v == kVecs - 1;
        row[v] = load_some<kSome>(b + v * kLanes, last_lanes);
        if constexpr (v * kLanes * sizeof(T) % 64 == 0) {
          hwy::Prefetch(b + kAhead * b_k0 + v * kLanes);
        }
      });
      unroll<kRows>([&](auto i) TINYTL_INLINE {
        const V element = hn::Set(kD, a[i / 3][(i % 3) * a_row]);
        unroll<kVecs>([&](auto v)
                          TINYTL_INLINE { sum[i][v] = hn::MulAdd(element, row[v], sum[i][v]); });
      });
      unroll<kPointers>([&](auto q) TINYTL_INLINE { a[q] += a_k0; });
      b += b_k0;
    }
  }
  unroll<kVecs>([&](auto v) TINYTL_INLINE {
    constexpr bool kSome = kPartial && v == kVecs - 1;
    if (t.scaled) {
      V scale = hn::Set(kD, t.factor);
      if (t.scale) scale = hn::Mul(scale, load_some<kSome>(t.scale + v * kLanes, last_lanes));
      unroll<kRows>([&](auto i) TINYTL_INLINE { sum[i][v] = hn::Mul(sum[i][v], scale); });
    }
    if (t.bias) {
      const V bias = load_some<kSome>(t.bias + v * kLanes, last_lanes);
      unroll<kRows>([&](auto i) TINYTL_INLINE { sum[i][v] = hn::Add(sum[i][v], bias); });
    }
    unroll<kRows>([&](auto i) TINYTL_INLINE {
      float* c = t.c + i * t.c_row + v * kLanes;
      V result = sum[i][v];
      if (t.accumulate) result = hn::Add(result, load_some<kSome>(c, last_lanes));
      store_some<kSome>(result, c, last_lanes);
    });
  });
}

using TileFn = void (*)(const Tile&);

template <int kVecs, bool kPartial, class T>
TileFn tile_of_rows(int64_t rows) {
  static constexpr auto kTable = []<int... I>(std::integer_sequence<int, I...>) {
    return std::array<TileFn, sizeof...(I)>{run_tile<I + 1, kVecs, kPartial, T>...};
  }
  (std::make_integer_sequence<int, tile_rows(kVecs)>{});
  return kTable[static_cast<size_t>(rows - 1)];
}

template <int kVecs, class T>
TileFn tile_of_vecs(int64_t rows, bool partial) {
  // Bytes that masks cannot read are never read in part. Where masks cost nothing, full vectors
  // have them too, but for the tile that matters most: fewer are compiled.
  constexpr bool kFloats = std::is_same_v<T, float>;
  constexpr bool kMasked = kMaskedBytes && (!kFloats || kVecs != 2);
  if constexpr (kMasked) {
    return tile_of_rows<kVecs, true, T>(rows);
  } else {
    if constexpr (kFloats) {
      if (partial) return tile_of_rows<kVecs, true, T>(rows);
    }
    return tile_of_rows<kVecs, false, T>(rows);
  }
}

// The tile of T = float or int8_t for columns that fill `vecs` vectors, the last one in part where
// `partial`.
template <class T>
TileFn tile_fn(int64_t rows, int64_t vecs, bool partial) {
  if (vecs == kWideVecs) return run_tile<1, kWideVecs, false, T>;
  if (vecs == 1) return tile_of_vecs<1, T>(rows, partial);
  if (vecs == 2) return tile_of_vecs<2, T>(rows, partial);
  return tile_of_vecs<kMaxVecs, T>(rows, partial);
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

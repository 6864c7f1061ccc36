// The innermost kernel: a tile of C, kTileRows x kTileVecs vectors, stays in registers while the
// summation index runs. Elements of A are broadcast through any strides; B has contiguous rows.
#include <array>

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

// 32 vector registers hold 12 x 2 sums, two vectors of B and an element of A; 16 hold 6 x 2.
constexpr int kTileRows = (HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON) ? 12 : 6;
constexpr int kTileVecs = 2;
constexpr int64_t kTileCols = kTileVecs * kLanes;

constexpr int64_t kAhead = 32;  // rows of B to fetch early: a memory access takes that long

struct Segment {  // a run of k0
  int64_t a, b;
};

struct Tile {
  const float* a;
  int64_t a_row, a_k0;
  const float* b;
  int64_t b_k0;
  bool b_packed;  // the segments of b follow each other
  const Segment* segments;
  int64_t segment_count, length;
  const float* bias;
  float* c;
  int64_t c_row;
  bool accumulate;
  size_t last_lanes;  // of the last vector of a row of c
};

template <int kRows, int kVecs, bool kPartial>
HWY_NOINLINE void run_tile(const Tile& t) {
  V sum[kRows][kVecs];
  unroll<kRows>([&](auto i) TINYTL_INLINE {
    unroll<kVecs>([&](auto v) TINYTL_INLINE { sum[i][v] = hn::Zero(kD); });
  });
  // One pointer for three rows: what the address modes of common processors reach.
  constexpr int kPointers = (kRows + 2) / 3;
  const int64_t a_row = t.a_row, a_k0 = t.a_k0, b_k0 = t.b_k0, length = t.length;
  const float* b = t.b;
  for (int64_t s = 0; s < t.segment_count; ++s) {
    const float* a[kPointers];
    unroll<kPointers>([&](auto q) TINYTL_INLINE { a[q] = t.a + t.segments[s].a + q * 3 * a_row; });
    if (!t.b_packed) b = t.b + t.segments[s].b;
    for (int64_t k = 0; k < length; ++k) {
      V row[kVecs];
      unroll<kVecs>([&](auto v) TINYTL_INLINE {
        row[v] = load(b + v * kLanes);
        if constexpr (v * kLanes % 16 == 0) hwy::Prefetch(b + kAhead * b_k0 + v * kLanes);
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
    const V bias = t.bias ? load_some<kSome>(t.bias + v * kLanes, t.last_lanes) : hn::Zero(kD);
    unroll<kRows>([&](auto i) TINYTL_INLINE {
      float* c = t.c + i * t.c_row + v * kLanes;
      V result = hn::Add(sum[i][v], bias);
      if (t.accumulate) result = hn::Add(result, load_some<kSome>(c, t.last_lanes));
      store_some<kSome>(result, c, t.last_lanes);
    });
  });
}

using TileFn = void (*)(const Tile&);

template <int kVecs, bool kPartial>
TileFn tile_fn(int64_t rows) {
  static constexpr auto kTable = []<int... I>(std::integer_sequence<int, I...>) {
    return std::array<TileFn, sizeof...(I)>{run_tile<I + 1, kVecs, kPartial>...};
  }
  (std::make_integer_sequence<int, kTileRows>{});
  return kTable[static_cast<size_t>(rows - 1)];
}

HWY_INLINE TileFn tile_fn(int64_t rows, int64_t cols) {
  if (cols == kTileCols) return tile_fn<2, false>(rows);
  if (cols > kLanes) return tile_fn<2, true>(rows);
  return tile_fn<1, true>(rows);
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

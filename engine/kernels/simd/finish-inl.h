// The end of a result: clip and masks, by vectors, on rows that were just computed.
#include "engine/kernels/simd/elementwise-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_FINISH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_FINISH_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_FINISH_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_FINISH_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

// Clip and masks of rows x cols elements whose bias is added, rows `step` apart. The first one is
// element `at` of the result. With masks, cols, step and at are multiples of 8.
HWY_NOINLINE void finish_block(const tt_epilogue& epilogue, int64_t rows, int64_t cols,
                               int64_t step, float* y, int64_t at) {
  const tt_epilogue e = epilogue;  // y could overwrite it, for all the compiler knows
  for (int64_t i = 0; i < rows; ++i, y += step, at += step) {
    for_vectors(cols, [&](int64_t j, auto io) TINYTL_INLINE {
      io.put(finish<io.kPartial>(e, io.get(y + j), at + j, io.size()), y + j);
    });
  }
}

// The same of a tile, kVecs vectors wide.
template <int kVecs, bool kPartial>
HWY_NOINLINE void finish_tile(const tt_epilogue& epilogue, int64_t rows, size_t last_lanes,
                              int64_t step, float* y, int64_t at) {
  const tt_epilogue e = epilogue;
  for (int64_t i = 0; i < rows; ++i, y += step, at += step) {
    unroll<kVecs>([&](auto v) TINYTL_INLINE {
      constexpr bool kSome = kPartial && v == kVecs - 1;
      float* const p = y + v * kLanes;
      const V value = load_some<kSome>(p, last_lanes);
      store_some<kSome>(finish<kSome>(e, value, at + v * kLanes, last_lanes), p, last_lanes);
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

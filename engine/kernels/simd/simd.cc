// Compiles the vector kernels once for every instruction set and picks a table at run time.
//
// Sets whose vectors have no size at compile time (SVE, RVV) are left out: sums of a tile live in
// arrays of vectors. SSSE3 and AVX3_DL add nothing over their neighbours here.
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#include "engine/kernels/simd/simd.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

#include "engine/kernels/portable/layer.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/simd/simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

// Without vector instructions (the baseline of x86 to Highway) the portable kernels are faster than
// emulated vectors.
#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR

namespace tinytl {
namespace HWY_NAMESPACE {
const tt_kernels* table() { return &tt_portable_kernels; }
}  // namespace HWY_NAMESPACE
}  // namespace tinytl

#else

#include "engine/kernels/simd/conv2d-inl.h"
#include "engine/kernels/simd/conv2d_grad_input-inl.h"
#include "engine/kernels/simd/depthwise-inl.h"
#include "engine/kernels/simd/depthwise_weight-inl.h"
#include "engine/kernels/simd/elementwise-inl.h"
#include "engine/kernels/simd/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

const tt_kernels* table() {
  static constexpr tt_kernels kTable{
      .name = HWY_TARGET == HWY_AVX3   ? "avx512"
              : HWY_TARGET == HWY_AVX2 ? "avx2"
              : HWY_TARGET == HWY_SSE4 ? "sse4"
              : HWY_TARGET == HWY_NEON ? "neon"
                                       : "simd",
      .gemm_scratch_bytes = gemm_scratch_bytes,
      .gemm = gemm,
      .conv2d_scratch_bytes = conv2d_scratch_bytes,
      .conv2d = conv2d,
      .conv2d_grad_input_scratch_bytes = conv2d_grad_input_scratch_bytes,
      .conv2d_grad_input = conv2d_grad_input,
      .conv2d_grad_weight_scratch_bytes = conv2d_grad_weight_scratch_bytes,
      .conv2d_grad_weight = conv2d_grad_weight,
      .depthwise = depthwise,
      .depthwise_grad_input = depthwise_grad_input,
      .depthwise_grad_weight = depthwise_grad_weight,
      .sum_rows = sum_rows,
      .clip = clip,
      .clip_mask = clip_mask,
      .mask_apply = mask_apply,
      .clip_grad = clip_grad,
      .add = add,
      .add_layer = tt_add_layer_f32,
      .add_scaled = add_scaled,
      .sgd = sgd,
      .adam = adam,
  };
  return &kTable;
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

#if HWY_ONCE
namespace tinytl {

HWY_EXPORT(table);

std::vector<const tt_kernels*> simd_kernel_sets() {
  std::vector<const tt_kernels*> sets;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    const tt_kernels* kernels = HWY_DYNAMIC_DISPATCH(table)();
    if (kernels != &tt_portable_kernels) sets.push_back(kernels);
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  return sets;
}

namespace {
const tt_kernels* best() { return HWY_DYNAMIC_DISPATCH(table)(); }
}  // namespace

}  // namespace tinytl

const tt_kernels* tt_best_kernels() {
  static const tt_kernels* const kBest = tinytl::best();
  return kBest;
}
#endif  // HWY_ONCE

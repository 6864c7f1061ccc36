// Matrix products and convolutions, compiled once for every instruction set.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>

#include "engine/kernels/portable/layer.h"
#include "engine/kernels/simd/targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernels/simd/products.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR

namespace tinytl::HWY_NAMESPACE {
void fill_products(tt_kernels&) {}
}  // namespace tinytl::HWY_NAMESPACE

#else

#include "engine/kernels/simd/conv2d-inl.h"
#include "engine/kernels/simd/conv2d_grad_input-inl.h"
#include "engine/kernels/simd/product-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

void fill_products(tt_kernels& table) {
  table.name = HWY_TARGET <= HWY_AVX3   ? "avx512"
               : HWY_TARGET == HWY_AVX2 ? "avx2"
               : HWY_TARGET == HWY_SSE4 ? "sse4"
               : HWY_TARGET == HWY_NEON ? "neon"
                                        : "simd";
  table.gemm_scratch_bytes = gemm_scratch_bytes;
  table.gemm = gemm;
  table.conv2d_scratch_bytes = conv2d_scratch_bytes;
  table.conv2d = conv2d;
  table.conv2d_grad_input_scratch_bytes = conv2d_grad_input_scratch_bytes;
  table.conv2d_grad_input = conv2d_grad_input;
  table.conv2d_grad_weight_scratch_bytes = conv2d_grad_weight_scratch_bytes;
  table.conv2d_grad_weight = conv2d_grad_weight;
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

#if HWY_ONCE
namespace tinytl {

HWY_EXPORT(fill_products);

void add_products(tt_kernels& table) { HWY_DYNAMIC_DISPATCH(fill_products)(table); }

}  // namespace tinytl
#endif

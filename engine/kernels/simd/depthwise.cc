// Depthwise convolutions, compiled once for every instruction set.
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
#define HWY_TARGET_INCLUDE "engine/kernels/simd/depthwise.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR

namespace tinytl::HWY_NAMESPACE {
void fill_depthwise(tt_kernels&) {}
}  // namespace tinytl::HWY_NAMESPACE

#else

#include "engine/kernels/simd/depthwise-inl.h"
#include "engine/kernels/simd/depthwise_weight-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

void fill_depthwise(tt_kernels& table) {
  table.depthwise = depthwise;
  table.depthwise_grad_input = depthwise_grad_input;
  table.depthwise_grad_weight = depthwise_grad_weight;
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

#if HWY_ONCE
namespace tinytl {

HWY_EXPORT(fill_depthwise);

void add_depthwise(tt_kernels& table) { HWY_DYNAMIC_DISPATCH(fill_depthwise)(table); }

}  // namespace tinytl
#endif

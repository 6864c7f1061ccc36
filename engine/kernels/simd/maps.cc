// Elementwise kernels and optimizers, compiled once for every instruction set.
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
#define HWY_TARGET_INCLUDE "engine/kernels/simd/maps.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR

namespace tinytl::HWY_NAMESPACE {
void fill_maps(tt_kernels&) {}
}  // namespace tinytl::HWY_NAMESPACE

#else

#include "engine/kernels/simd/adam8-inl.h"
#include "engine/kernels/simd/elementwise-inl.h"
#include "engine/kernels/simd/function-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

void fill_maps(tt_kernels& table) {
  table.sum_rows = sum_rows;
  table.clip = clip;
  table.clip_mask = clip_mask;
  table.mask_apply = mask_apply;
  table.clip_grad = clip_grad;
  table.add = add;
  table.add_layer = add_layer;
  table.add_scaled = add_scaled;
  table.map = map;
  table.map_grad = map_grad;
  table.mask_scale = mask_scale;
  table.combine = combine;
  table.sgd = sgd;
  table.adam = adam;
  table.adam8 = adam8;
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

#if HWY_ONCE
namespace tinytl {

HWY_EXPORT(fill_maps);

void add_maps(tt_kernels& table) { HWY_DYNAMIC_DISPATCH(fill_maps)(table); }

}  // namespace tinytl
#endif

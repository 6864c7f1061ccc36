// Norms, pooling and resizing, compiled once for every instruction set.
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
#define HWY_TARGET_INCLUDE "engine/kernels/simd/layers.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR

namespace tinytl::HWY_NAMESPACE {
void fill_layers(tt_kernels&) {}
}  // namespace tinytl::HWY_NAMESPACE

#else

#include "engine/kernels/simd/group_norm-inl.h"
#include "engine/kernels/simd/norm-inl.h"
#include "engine/kernels/simd/pool-inl.h"
#include "engine/kernels/simd/resize-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

void fill_layers(tt_kernels& table) {
  table.reduce = reduce;
  table.softmax = softmax;
  table.softmax_grad = softmax_grad;
  table.layer_norm = layer_norm;
  table.layer_norm_grad_input = layer_norm_grad_input;
  table.layer_norm_grad_scale = layer_norm_grad_scale;
  table.group_norm = group_norm;
  table.group_norm_grad_input = group_norm_grad_input;
  table.group_norm_grad_scale = group_norm_grad_scale;
  table.average_pool = average_pool;
  table.average_pool_grad = average_pool_grad;
  table.max_pool = max_pool;
  table.max_pool_argmax = max_pool_argmax;
  table.max_pool_grad = max_pool_grad;
  table.resize = resize;
  table.resize_grad = resize_grad;
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

#if HWY_ONCE
namespace tinytl {

HWY_EXPORT(fill_layers);

void add_layers(tt_kernels& table) { HWY_DYNAMIC_DISPATCH(fill_layers)(table); }

}  // namespace tinytl
#endif

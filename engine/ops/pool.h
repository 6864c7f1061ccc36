// The windows of a pooling operator over an NHWC tensor.
//
// Attributes: "kernel" {kh,kw}, "strides" {sh,sw}, "pads" {top,left,bottom,right}, "ceil_mode" (1:
// the output size is rounded up, so that the last window may reach past the padding),
// "count_include_pad" (of averages: 1: padded zeros count, 0: only pixels of the input do).
#pragma once

#include "engine/ops/op_helpers.h"

namespace tinytl {

// `x` must have passed `infer_pool`.
tt_pool_shape pool_shape(const Node& node, const Shape& x);

OutputTypes infer_pool(const Node& node, InputTypes in);
// Type of a pooling gradient: the attribute "shape"; input 0 is dy.
OutputTypes infer_pool_grad(const Node& node, InputTypes in);

// This part of the rows of `type`, which is NHWC.
inline Share rows_share(const KernelArgs& t, const TensorType& type) {
  return t.share(type.dim(0) * type.dim(1));
}

}  // namespace tinytl

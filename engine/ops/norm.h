// What the normalisations share.
#pragma once

#include "engine/ops/op_table.h"

namespace tinytl {

// The gradient rule of y = scale n(x) + bias, inputs x, scale, bias and others that want none, by
// the operators (dy, x, scale) -> dx and (dy, x) -> dscale.
inline void norm_vjp(GradBuilder& grad, const OpDef& grad_input, const OpDef& grad_scale) {
  enum { kOfX, kOfScale, kOfBias };
  const Node& node = grad.node();
  const ValueId x = node.input(kOfX), scale = node.input(kOfScale);
  if (grad.wants(kOfBias)) {
    grad.set(kOfBias, grad.emit(kSumTo, {grad.dy()}, {{"shape", grad.input_type(kOfBias).shape}}));
  }
  if (grad.wants(kOfScale)) {
    grad.set(kOfScale, grad.emit(grad_scale, {grad.dy(), x}, node.attributes));
  }
  if (grad.wants(kOfX)) {
    grad.set(kOfX, grad.emit(grad_input, {grad.dy(), x, scale}, node.attributes));
  }
}

}  // namespace tinytl

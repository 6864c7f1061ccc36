// Elementwise operators of one tensor, and their gradients. All run in place; a gradient may be
// written over dy or over the saved tensor, whichever dies first.
#pragma once

#include "engine/ops/op_helpers.h"

namespace tinytl {

inline OutputTypes infer_unary(const Node& node, InputTypes in) {
  check(in.size() == 1 && in[0].dtype == DType::kF32, node, in, "takes one f32 tensor");
  return {in[0]};
}

inline OutputTypes infer_unary_grad(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[0].dtype == DType::kF32 && in[0] == in[1], node, in,
        "takes dy and the saved tensor, f32 of one shape");
  return {in[0]};
}

// y[i] = f(x[i])
template <typename F>
void map_unary(const KernelArgs& t, F f) {
  const float* x = t.f32(0);
  float* y = t.out_f32();
  const int64_t n = t.out_type().elements();
  for (int64_t i = 0; i < n; ++i) y[i] = f(x[i]);
}

// dx[i] = f(dy[i], saved[i])
template <typename F>
void map_unary_grad(const KernelArgs& t, F f) {
  const float* dy = t.f32(0);
  const float* saved = t.f32(1);
  float* dx = t.out_f32();
  const int64_t n = t.out_type().elements();
  for (int64_t i = 0; i < n; ++i) dx[i] = f(dy[i], saved[i]);
}

// Gradient rules dx = kGrad(dy, y) and dx = kGrad(dy, x), with the attributes of the operator.
template <const OpDef& kGrad>
void vjp_from_output(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const Node& node = grad.node();
  grad.set(0, grad.emit(kGrad, {grad.dy(), node.output()}, node.attributes));
}

template <const OpDef& kGrad>
void vjp_from_input(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const Node& node = grad.node();
  grad.set(0, grad.emit(kGrad, {grad.dy(), node.input(0)}, node.attributes));
}

}  // namespace tinytl

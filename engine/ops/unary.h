// Elementwise operators of one tensor, and their gradients. All run in place; a gradient may be
// written over dy or over the saved tensor, whichever dies first.
#pragma once

#include "engine/ops/op_helpers.h"

namespace tinytl {

// Elements of a part: whole bytes of masks, whole lines of the cache.
inline constexpr int64_t kShareGrain = 64;

inline OutputTypes infer_unary(const Node& node, InputTypes in) {
  check(in.size() == 1 && in[0].dtype == DType::kF32, node, in, "takes one f32 tensor");
  return {in[0]};
}

inline OutputTypes infer_unary_grad(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[0].dtype == DType::kF32 && in[0] == in[1], node, in,
        "takes dy and the saved tensor, f32 of one shape");
  return {in[0]};
}

// y[i] = f(x[i]), in parts.
inline void map_unary(const KernelArgs& t, tt_function f, float alpha = 0, float beta = 0) {
  const Share share = t.share(t.out_type().elements(), kShareGrain);
  t.kernels().map(f, t.f32(0) + share.begin, share.size(), alpha, beta, t.out_f32() + share.begin);
}

template <typename F>
void map_unary(const KernelArgs& t, F f) {
  const float* x = t.f32(0);
  float* y = t.out_f32();
  const Share share = t.share(t.out_type().elements(), kShareGrain);
  for (int64_t i = share.begin; i < share.end; ++i) y[i] = f(x[i]);
}

// dx[i] = dy[i] times the slope of f, from saved[i], in parts.
inline void map_unary_grad(const KernelArgs& t, tt_function f, float alpha = 0) {
  const Share share = t.share(t.out_type().elements(), kShareGrain);
  t.kernels().map_grad(f, t.f32(0) + share.begin, t.f32(1) + share.begin, share.size(), alpha,
                       t.out_f32() + share.begin);
}

template <typename F>
void map_unary_grad(const KernelArgs& t, F f) {
  const float* dy = t.f32(0);
  const float* saved = t.f32(1);
  float* dx = t.out_f32();
  const Share share = t.share(t.out_type().elements(), kShareGrain);
  for (int64_t i = share.begin; i < share.end; ++i) dx[i] = f(dy[i], saved[i]);
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

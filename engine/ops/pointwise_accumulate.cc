// Pointwise convolution added to a tensor: y[...,n] = acc[...,n] + a[...,k] . w[1,1,k,n] + b[n]
// With attribute "transposed" 1, w is [1,1,n,k] and its transpose is used: acc + Conv2dGradInput.
//
// Gradients:  dacc = dy     db = sum of dy per channel
//             da = dy . w^T (transposed: dy . w)     dw = a^T . dy (transposed: dy^T . a)
//
// What Conv2d and Add compute, without the result of the convolution: y may lie over acc. Made by
// fuse_accumulate (engine/schedule). The convolution is added as one number where k is at most 256,
// and then the bits are those of Conv2d and Add.

#include <cstring>

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

enum { kAcc, kA, kW, kB };

bool is_transposed(const Node& node) { return node.attributes.integer("transposed") != 0; }

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 3 || in.size() == 4, node, in, "takes acc, a, w and an optional bias");
  check(in[kAcc].rank() == 4 && in[kA].rank() == 4 && in[kW].rank() == 4, node, in,
        "acc, a and w must have rank 4");
  check(in[kW].dim(0) == 1 && in[kW].dim(1) == 1, node, in, "w must be a 1x1 kernel");
  const size_t from = is_transposed(node) ? 3 : 2, to = is_transposed(node) ? 2 : 3;
  check(columns_of(in[kA]) == in[kW].dim(from), node, in, "channels of a and w do not fit");
  Shape y = in[kA].shape;
  y.back() = in[kW].dim(to);
  check(in[kAcc].shape == y, node, in, "acc must have the shape of the convolution");
  check(node.inputs[kAcc] != node.inputs[kA], node, in, "a is overwritten while it is read");
  if (in.size() > kB) {
    check(in[kB].shape == Shape{y.back()}, node, in, "b needs one entry per output channel");
  }
  return {in[kAcc]};
}

tt_gemm gemm_of(const Node& node, const TensorType& acc, const TensorType& a) {
  const int64_t k = columns_of(a), n = columns_of(acc);
  tt_gemm g{};
  g.m = static_cast<int32_t>(rows_of(a));
  g.n = static_cast<int32_t>(n);
  g.k = static_cast<int32_t>(k);
  g.a_row = k;
  g.a_col = 1;
  g.b_row = is_transposed(node) ? 1 : n;
  g.b_col = is_transposed(node) ? k : 1;
  g.c_row = n;
  g.accumulate = 1;
  return g;
}

size_t scratch_bytes(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const tt_gemm g = gemm_of(node, in[kAcc], in[kA]);
  return kernels.gemm_scratch_bytes(&g);
}

void forward(const Node& node, const KernelArgs& t) {
  if (t.out_f32() != t.f32(kAcc)) std::memcpy(t.out_f32(), t.f32(kAcc), t.out_type().bytes());
  tt_gemm g = gemm_of(node, t.type(kAcc), t.type(kA));
  g.a = t.f32(kA);
  g.b = t.f32(kW);
  g.bias = t.inputs() > kB ? t.f32(kB) : nullptr;
  g.c = t.out_f32();
  t.kernels().gemm(&g, t.scratch());
}

void vjp(GradBuilder& grad) {
  const Node& node = grad.node();
  const ValueId a = node.input(kA), w = node.input(kW), dy = grad.dy();
  Attributes attributes{{"strides", std::vector<int64_t>{1, 1}},
                        {"pads", std::vector<int64_t>{0, 0, 0, 0}},
                        {"dilations", std::vector<int64_t>{1, 1}},
                        {"groups", int64_t{1}}};
  const auto with_shape_of = [&](size_t input) {
    Attributes result = attributes;
    result.set("shape", grad.input_type(input).shape);
    return result;
  };
  if (grad.wants(kAcc)) grad.set(kAcc, dy);
  if (grad.wants(kB)) {
    grad.set(kB, grad.emit(kSumTo, {dy}, {{"shape", grad.input_type(kB).shape}}));
  }
  if (grad.wants(kW)) {
    const ValueId x = is_transposed(node) ? dy : a, dz = is_transposed(node) ? a : dy;
    grad.set(kW, grad.emit(kConv2dGradWeight, {x, dz}, with_shape_of(kW)));
  }
  if (grad.wants(kA)) {
    grad.set(kA, is_transposed(node) ? grad.emit(kConv2d, {dy, w}, attributes)
                                     : grad.emit(kConv2dGradInput, {dy, w}, with_shape_of(kA)));
  }
}

}  // namespace

const OpDef kPointwiseAccumulate{.name = "PointwiseAccumulate",
                                 .infer = infer,
                                 .forward = forward,
                                 .vjp = vjp,
                                 .scratch_bytes = scratch_bytes,
                                 .in_place = 0b1};

}  // namespace tinytl

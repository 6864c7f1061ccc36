// Pointwise convolution added to a tensor: y[...,n] = acc[...,n] + a[...,k] . w[1,1,k,n] + b[n]
// With attribute "transposed" 1, w is [1,1,n,k] and its transpose is used: acc + Conv2dGradInput.
//
// Gradients:  dacc = dy     db = sum of dy per channel
//             da = dy . w^T (transposed: dy . w)     dw = a^T . dy (transposed: dy^T . a)
//
// What Conv2d and Add compute, without the result of the convolution: y may lie over acc. Made by
// fuse_accumulate (engine/schedule). The convolution is added as one number where k is at most 256,
// and then the bits are those of Conv2d and Add. Attributes low, high, mask and keep as in
// op_helpers.h; w may have 8 bits, and acc, a and y may be kRow8.

#include <cstring>

#include "engine/ops/op_table.h"
#include "engine/ops/product.h"
#include "engine/ops/row8_layers.h"

namespace tinytl {
namespace {

enum { kAcc, kA, kW, kB };

bool is_transposed(const Node& node) { return node.attributes.integer("transposed") != 0; }

OutputTypes infer(const Node& node, InputTypes in) {
  const size_t inputs = own_inputs(node, in);
  check(inputs == 3 || inputs == 4, node, in, "takes acc, a, w and an optional bias");
  check(in[kAcc].rank() == 4 && in[kA].rank() == 4 && in[kW].rank() == 4, node, in,
        "acc, a and w must have rank 4");
  check(in[kW].dim(0) == 1 && in[kW].dim(1) == 1, node, in, "w must be a 1x1 kernel");
  const size_t from = is_transposed(node) ? 3 : 2, to = is_transposed(node) ? 2 : 3;
  check(columns_of(in[kA]) == in[kW].dim(from), node, in, "channels of a and w do not fit");
  Shape y = in[kA].shape;
  y.back() = in[kW].dim(to);
  check(in[kAcc].shape == y, node, in, "acc must have the shape of the convolution");
  check(node.inputs[kAcc] != node.inputs[kA], node, in, "a is overwritten while it is read");
  if (inputs > kB) {
    check(in[kB].shape == Shape{y.back()}, node, in, "b needs one entry per output channel");
  }
  return with_mask(node, in, gradient_result(node, in[kAcc].shape));
}

tt_gemm gemm_of(const Node& node, const TensorType& acc, const TensorType& a) {
  tt_gemm g = layer_product(rows_of(a), columns_of(a), columns_of(acc), is_transposed(node));
  g.accumulate = 1;
  return g;
}

size_t scratch_bytes(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const tt_gemm g = gemm_of(node, in[kAcc], in[kA]);
  if (!has_row8(node, in)) return product_scratch(g, in[kW], kernels);
  return row8_product_scratch(g, in[kW], {is_row8(in[kA]), writes_row8(node)}, kernels);
}

void forward(const Node& node, const KernelArgs& t) {
  tt_gemm g = gemm_of(node, t.type(kAcc), t.type(kA));
  g.a = t.f32(kA);
  g.b = t.weights(kW);
  g.c = t.out_f32();
  g.epilogue = epilogue_of(node, t, kB);
  if (has_row8(node, t)) return row8_product(t, g, kA, kAcc);
  g = part_of(t, g);
  if (t.out_f32() != t.f32(kAcc)) {
    const float* acc = t.f32(kAcc) + (g.c - t.out_f32());
    for (int64_t i = 0; i < g.m; ++i) {
      std::memcpy(g.c + i * g.c_row, acc + i * g.c_row, static_cast<size_t>(g.n) * sizeof(float));
    }
  }
  t.kernels().gemm(&g, t.scratch());
}

void vjp(GradBuilder& grad) {
  const Node& node = grad.node();
  const ValueId a = node.input(kA), w = node.input(kW), dy = dy_of_layer(grad);
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
                                 .divides = true,
                                 .scratch_bytes = scratch_bytes,
                                 .reads_row8 = 0b11,
                                 .writes_row8 = true,
                                 .in_place = 0b1};

}  // namespace tinytl

// Linear: y[...,O] = x[...,I] . w[I,O] + b[O]
//
// Gradients:  dx = dy . w^T      dw = x^T . dy      db = sum of dy over rows
//
// Only dw reads x. With w frozen nothing in the backward graph refers to x, so its lifetime ends in
// the forward pass: the whole of bias-only training (Cai et al., TinyTL, NeurIPS 2020).
//
// Attributes low and high limit y, and mask adds a bit mask as output 1 (op_helpers.h). w may have
// 8 bits.

#include "engine/ops/op_table.h"
#include "engine/ops/product.h"

namespace tinytl {
namespace {

enum { kX, kW, kB };

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 2 || in.size() == 3, node, in, "takes x, w and an optional bias");
  check(in[kX].rank() >= 1 && in[kW].rank() == 2, node, in, "w must be a matrix");
  check(columns_of(in[kX]) == in[kW].dim(0), node, in, "x and w differ in number of features");
  if (in.size() == 3) {
    check(in[kB].shape == Shape{in[kW].dim(1)}, node, in, "b needs one entry per output feature");
  }
  TensorType y = in[kX];
  y.shape.back() = in[kW].dim(1);
  return with_mask(node, in, y);
}

tt_gemm gemm_of(const TensorType& x, const TensorType& w) {
  return layer_product(rows_of(x), w.dim(0), w.dim(1), /*transposed=*/false);
}

size_t scratch_bytes(const Node&, InputTypes in, const tt_kernels& kernels) {
  return product_scratch(gemm_of(in[kX], in[kW]), in[kW], kernels);
}

void forward(const Node& node, const KernelArgs& t) {
  tt_gemm g = gemm_of(t.type(kX), t.type(kW));
  g.a = t.f32(kX);
  g.b = t.weights(kW);
  g.epilogue = epilogue_of(node, t, kB);
  g.c = t.out_f32();
  run_product(t, g);
}

void vjp(GradBuilder& grad) {
  const Node& node = grad.node();
  const ValueId x = node.input(kX), w = node.input(kW), dy = dy_of_layer(grad);
  if (grad.wants(kB)) {
    grad.set(kB, grad.emit(kSumTo, {dy}, {{"shape", grad.input_type(kB).shape}}));
  }
  if (grad.wants(kW)) {
    const auto matrix = [&](ValueId v) {
      const TensorType& type = grad.type(v);
      if (type.rank() == 2) return v;
      return grad.emit(kReshape, {v}, {{"shape", Shape{rows_of(type), columns_of(type)}}});
    };
    const ValueId of_w = matrix(gathered(grad, x, grad.channels(kW)));
    const ValueId dw = grad.emit(kMatMul, {of_w, matrix(dy)},
                                 {{"transpose_a", int64_t{1}}, {"transpose_b", int64_t{0}}});
    grad.set(kW, dw);
  }
  if (grad.wants(kX)) {
    grad.set(kX, grad.emit(kMatMul, {dy, w},
                           {{"transpose_a", int64_t{0}}, {"transpose_b", int64_t{1}}}));
  }
}

}  // namespace

const OpDef kLinear{.name = "Linear",
                    .infer = infer,
                    .forward = forward,
                    .vjp = vjp,
                    .slices_weight = true,
                    .divides = true,
                    .scratch_bytes = scratch_bytes};

}  // namespace tinytl

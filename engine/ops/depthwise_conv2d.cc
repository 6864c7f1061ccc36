// Depthwise convolution: y[n,p,q,c] = b[c] + sum_{i,j} x[n, p sh + i dh - top, q sw + j dw - left,
// c] w[i,j,c]
//
// Gradients:  dx = DepthwiseConv2dGradInput(dy, w)   dw = DepthwiseConv2dGradWeight(x, dy)
//             db = sum of dy per channel
//
// As in a general convolution, only dw reads x. The gradient operators carry the attributes of the
// convolution and the "shape" of their result.

#include "engine/ops/conv2d_attributes.h"
#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

enum { kX, kW, kB };

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 2 || in.size() == 3, node, in, "takes x, w and an optional bias");
  check(in[kX].rank() == 4 && in[kW].rank() == 3, node, in, "x must have rank 4 and w rank 3");
  check(in[kX].dim(3) == in[kW].dim(2), node, in, "x and w differ in number of channels");
  if (in.size() == 3) {
    check(in[kB].shape == Shape{in[kW].dim(2)}, node, in, "b needs one entry per channel");
  }
  check_conv2d_attributes(node, in);
  const tt_conv2d_shape s = conv2d_shape(node, in[kX].shape, in[kW].shape, true);
  check(s.out_h > 0 && s.out_w > 0, node, in, "the kernel is larger than the padded input");
  return {{DType::kF32, {s.batch, s.out_h, s.out_w, s.out_c}}};
}

void forward(const Node& node, const KernelArgs& t) {
  const tt_conv2d_shape s = conv2d_shape(node, t.type(kX).shape, t.type(kW).shape, true);
  t.kernels().depthwise(&s, t.f32(kX), t.f32(kW), t.inputs() > kB ? t.f32(kB) : nullptr,
                        t.out_f32());
}

void vjp(GradBuilder& grad) {
  conv2d_vjp(grad, kDepthwiseConv2dGradInput, kDepthwiseConv2dGradWeight);
}

OutputTypes infer_result(const Node& node, InputTypes in) {
  check(in.size() == 2, node, in, "takes dy and x, or dy and w");
  const auto shape = node.attributes.integers("shape");
  return {{DType::kF32, Shape(shape.begin(), shape.end())}};
}

void grad_input(const Node& node, const KernelArgs& t) {  // (dy, w) -> dx
  const tt_conv2d_shape s = conv2d_shape(node, t.out_type().shape, t.type(1).shape, true);
  t.kernels().depthwise_grad_input(&s, t.f32(0), t.f32(1), t.out_f32());
}

void grad_weight(const Node& node, const KernelArgs& t) {  // (x, dy) -> dw
  const tt_conv2d_shape s = conv2d_shape(node, t.type(0).shape, t.out_type().shape, true);
  t.kernels().depthwise_grad_weight(&s, t.f32(0), t.f32(1), t.out_f32());
}

}  // namespace

const OpDef kDepthwiseConv2d{
    .name = "DepthwiseConv2d", .infer = infer, .forward = forward, .vjp = vjp};
const OpDef kDepthwiseConv2dGradInput{
    .name = "DepthwiseConv2dGradInput", .infer = infer_result, .forward = grad_input};
const OpDef kDepthwiseConv2dGradWeight{
    .name = "DepthwiseConv2dGradWeight", .infer = infer_result, .forward = grad_weight};

}  // namespace tinytl

// Resize of an NHWC tensor to "size" {h,w}. Along each dimension, output pixel i reads at s, with
// the integer "mode":
//   0  nearest:  s = floor(i in / out)  (ONNX "asymmetric" with "floor"; PyTorch's "nearest")
//   1  bilinear, pixel centres aligned:  s = (i + 1/2) in / out - 1/2, at least 0
//   2  bilinear, corners aligned:  s = i (in - 1) / (out - 1)
//
// Gradient: ResizeGrad(dy), the exact adjoint: every pixel of dy is added to the pixels it was read
// from, with the same weights. Saves nothing. Each is the other's gradient.

#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

// From the shapes of x and of the resized tensor.
tt_resize_shape resize_shape(const Node& node, const Shape& x, const Shape& resized) {
  const auto i32 = [](int64_t v) { return static_cast<int32_t>(v); };
  return {.batch = i32(x[0]),
          .channels = i32(x[3]),
          .in_h = i32(x[1]),
          .in_w = i32(x[2]),
          .out_h = i32(resized[1]),
          .out_w = i32(resized[2]),
          .mode = static_cast<tt_resize_mode>(node.attributes.integer("mode"))};
}

// The shape of the resized tensor; reports what does not fit.
Shape resized_shape(const Node& node, InputTypes in, Shape shape) {
  const auto size = node.attributes.integers("size");
  const int64_t mode = node.attributes.integer("mode");
  check(in.size() == 1 && in[0].dtype == DType::kF32 && shape.size() == 4, node, in,
        "takes one f32 tensor of rank 4 (NHWC)");
  check(size.size() == 2 && size[0] > 0 && size[1] > 0, node, in,
        "needs a positive height and width");
  check(mode >= TT_NEAREST && mode <= TT_ALIGN_CORNERS, node, in, "mode must be 0, 1 or 2");
  shape[1] = size[0];
  shape[2] = size[1];
  return shape;
}

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 1, node, in, "takes one f32 tensor of rank 4 (NHWC)");
  return {{DType::kF32, resized_shape(node, in, in[0].shape)}};
}

OutputTypes infer_grad(const Node& node, InputTypes in) {
  const auto from = node.attributes.integers("shape");
  const Shape shape(from.begin(), from.end());
  const Shape resized = resized_shape(node, in, shape);
  check(in[0].shape == resized, node, in, "dy does not have the shape of the resized tensor");
  return {{DType::kF32, shape}};
}

void forward(const Node& node, const KernelArgs& t) {
  const Shape& resized = t.out_type().shape;
  const tt_resize_shape s = resize_shape(node, t.type(0).shape, resized);
  const Share rows = t.share(resized[0] * resized[1]);
  t.kernels().resize(&s, rows.begin, rows.end, t.f32(0), t.out_f32());
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  Attributes attributes = grad.node().attributes;
  attributes.set("shape", grad.input_type(0).shape);
  grad.set(0, grad.emit(kResizeGrad, {grad.dy()}, attributes));
}

void backward(const Node& node, const KernelArgs& t) {
  const Shape& x = t.out_type().shape;
  const tt_resize_shape s = resize_shape(node, x, t.type(0).shape);
  const Share rows = t.share(x[0] * x[1]);
  t.kernels().resize_grad(&s, rows.begin, rows.end, t.f32(0), t.out_f32());
}

void grad_vjp(GradBuilder& grad) {
  if (grad.wants(0)) grad.set(0, grad.emit(kResize, {grad.dy()}, grad.node().attributes));
}

}  // namespace

const OpDef kResize{
    .name = "Resize", .infer = infer, .forward = forward, .vjp = vjp, .divides = true};
const OpDef kResizeGrad{.name = "ResizeGrad",
                        .infer = infer_grad,
                        .forward = backward,
                        .vjp = grad_vjp,
                        .divides = true};

}  // namespace tinytl

// MaxPool: y[n,p,q,c] = max of x[n,h,v,c] over the window of (p,q), NHWC.
//
// Gradient: dy goes to the first pixel of the window that holds the maximum. That is its number
// within the window, one byte an element of y (four where a window has more than 127 elements), so
// that neither x nor y is kept for the backward pass:
//   MaxPoolArgmax(x) -> i8        MaxPoolGrad(dy, argmax) -> dx

#include "engine/ops/op_table.h"
#include "engine/ops/pool.h"

namespace tinytl {
namespace {

void forward(const Node& node, const KernelArgs& t) {
  const tt_pool_shape s = pool_shape(node, t.type(0).shape);
  const Share rows = rows_share(t, t.out_type());
  t.kernels().max_pool(&s, rows.begin, rows.end, t.f32(0), t.out_f32());
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  Attributes attributes = grad.node().attributes;
  const ValueId argmax = grad.emit(kMaxPoolArgmax, {grad.node().input(0)}, attributes);
  attributes.set("shape", grad.input_type(0).shape);
  grad.set(0, grad.emit(kMaxPoolGrad, {grad.dy(), argmax}, attributes));
}

DType index_type(const Node& node) {
  const auto kernel = node.attributes.integers("kernel");
  return kernel[0] * kernel[1] <= 127 ? DType::kI8 : DType::kI32;
}

OutputTypes infer_argmax(const Node& node, InputTypes in) {
  return {{index_type(node), infer_pool(node, in)[0].shape}};
}

bool is_wide(const TensorType& argmax) { return argmax.dtype != DType::kI8; }

void argmax(const Node& node, const KernelArgs& t) {
  const tt_pool_shape s = pool_shape(node, t.type(0).shape);
  const Share rows = rows_share(t, t.out_type());
  t.kernels().max_pool_argmax(&s, rows.begin, rows.end, t.f32(0), is_wide(t.out_type()),
                              t.out_bits());
}

OutputTypes infer_grad(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[1].dtype == index_type(node) && in[0].shape == in[1].shape, node, in,
        "takes dy and the argmax of the same shape");
  return infer_pool_grad(node, in);
}

void backward(const Node& node, const KernelArgs& t) {
  const tt_pool_shape s = pool_shape(node, t.out_type().shape);
  const Share rows = rows_share(t, t.out_type());
  t.kernels().max_pool_grad(&s, rows.begin, rows.end, t.f32(0), t.bits(1), is_wide(t.type(1)),
                            t.out_f32());
}

}  // namespace

const OpDef kMaxPool{
    .name = "MaxPool", .infer = infer_pool, .forward = forward, .vjp = vjp, .divides = true};
const OpDef kMaxPoolArgmax{
    .name = "MaxPoolArgmax", .infer = infer_argmax, .forward = argmax, .divides = true};
const OpDef kMaxPoolGrad{
    .name = "MaxPoolGrad", .infer = infer_grad, .forward = backward, .divides = true};

}  // namespace tinytl

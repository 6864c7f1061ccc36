// AveragePool: y[n,p,q,c] = mean of x[n,h,v,c] over the window of (p,q), NHWC.
//
// Where the window reaches into the padding, the integer "count_include_pad" says whether padded
// zeros count (1) or only pixels of the input do (0). What reaches past the padding (ceil_mode)
// never counts. Gradient: every pixel of the window gets dy / count. Saves nothing.
//
// AveragePoolGradAdd(sum, dy): sum + AveragePoolGrad(dy), for windows that do not overlap. Made by
// engine/schedule/fuse_accumulate.

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/pool.h"

namespace tinytl {
namespace {

void forward(const Node& node, const KernelArgs& t) {
  const tt_pool_shape s = pool_shape(node, t.type(0).shape);
  const Share rows = rows_share(t, t.out_type());
  t.kernels().average_pool(&s, rows.begin, rows.end, t.f32(0), t.out_f32());
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  Attributes attributes = grad.node().attributes;
  attributes.set("shape", grad.input_type(0).shape);
  grad.set(0, grad.emit(kAveragePoolGrad, {grad.dy()}, attributes));
}

void backward(const Node& node, const KernelArgs& t) {
  const tt_pool_shape s = pool_shape(node, t.out_type().shape);
  const Share rows = rows_share(t, t.out_type());
  t.kernels().average_pool_grad(&s, rows.begin, rows.end, t.f32(0), /*accumulate=*/0, t.out_f32());
}

OutputTypes infer_add(const Node& node, InputTypes in) {
  check(in.size() == 2, node, in, "takes a sum and dy");
  const OutputTypes dx = infer_pool_grad(node, in.subspan(1));
  check(in[0] == dx[0], node, in, "the sum does not have the shape of the pooled tensor");
  return dx;
}

void backward_add(const Node& node, const KernelArgs& t) {
  const tt_pool_shape s = pool_shape(node, t.out_type().shape);
  const Share rows = rows_share(t, t.out_type());
  const int64_t row = t.out_type().dim(2) * t.out_type().dim(3);
  const float* const sum = t.f32(0) + rows.begin * row;
  float* const dx = t.out_f32() + rows.begin * row;
  if (sum != dx) std::copy_n(sum, rows.size() * row, dx);
  t.kernels().average_pool_grad(&s, rows.begin, rows.end, t.f32(1), /*accumulate=*/1, t.out_f32());
}

}  // namespace

const OpDef kAveragePool{
    .name = "AveragePool", .infer = infer_pool, .forward = forward, .vjp = vjp, .divides = true};
const OpDef kAveragePoolGrad{
    .name = "AveragePoolGrad", .infer = infer_pool_grad, .forward = backward, .divides = true};
const OpDef kAveragePoolGradAdd{.name = "AveragePoolGradAdd",
                                .infer = infer_add,
                                .forward = backward_add,
                                .divides = true,
                                .in_place = 1};

}  // namespace tinytl

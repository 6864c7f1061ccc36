// AveragePool: y[n,p,q,c] = mean of x[n,h,v,c] over the window of (p,q), NHWC.
//
// Where the window reaches into the padding, the integer "count_include_pad" says whether padded
// zeros count (1) or only pixels of the input do (0). What reaches past the padding (ceil_mode)
// never counts. Gradient: every pixel of the window gets dy / count. Saves nothing.

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
  t.kernels().average_pool_grad(&s, rows.begin, rows.end, t.f32(0), t.out_f32());
}

}  // namespace

const OpDef kAveragePool{
    .name = "AveragePool", .infer = infer_pool, .forward = forward, .vjp = vjp, .divides = true};
const OpDef kAveragePoolGrad{
    .name = "AveragePoolGrad", .infer = infer_pool_grad, .forward = backward, .divides = true};

}  // namespace tinytl

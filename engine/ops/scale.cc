// Scale: y = x "factor", a number. Gradient: dx = dy factor.

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node& node, const KernelArgs& t) {
  const float factor = node.attributes.number("factor");
  const float* x = t.f32(0);
  float* y = t.out_f32();
  const int64_t n = t.out_type().elements();
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * factor;
}

void vjp(GradBuilder& grad) {
  if (grad.wants(0)) grad.set(0, grad.emit(kScale, {grad.dy()}, grad.node().attributes));
}

}  // namespace

const OpDef kScale{
    .name = "Scale", .infer = infer_unary, .forward = forward, .vjp = vjp, .in_place = 1};

}  // namespace tinytl

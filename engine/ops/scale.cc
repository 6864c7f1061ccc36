// Scale: y = x "factor", a number. Gradient: dx = dy factor.

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node& node, const KernelArgs& t) {
  map_unary(t, TT_LINEAR, node.attributes.number("factor"), -0.0f);
}

void vjp(GradBuilder& grad) {
  if (grad.wants(0)) grad.set(0, grad.emit(kScale, {grad.dy()}, grad.node().attributes));
}

}  // namespace

const OpDef kScale{.name = "Scale",
                   .infer = infer_unary,
                   .forward = forward,
                   .vjp = vjp,
                   .divides = true,
                   .in_place = 1};

}  // namespace tinytl

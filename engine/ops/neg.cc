// Neg: y = -x. Gradient: dx = -dy. Saves nothing.

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) { map_unary(t, TT_LINEAR, -1.0f, -0.0f); }

void vjp(GradBuilder& grad) {
  if (grad.wants(0)) grad.set(0, grad.emit(kNeg, {grad.dy()}));
}

}  // namespace

const OpDef kNeg{.name = "Neg",
                 .infer = infer_unary,
                 .forward = forward,
                 .vjp = vjp,
                 .divides = true,
                 .in_place = 1};

}  // namespace tinytl

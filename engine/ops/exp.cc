// Exp: y = exp(x). Gradient: dx = dy y. Saves y only.

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) { map_unary(t, TT_EXP); }

void vjp(GradBuilder& grad) {
  if (grad.wants(0)) grad.set(0, grad.emit(kMul, {grad.dy(), grad.node().output()}));
}

}  // namespace

const OpDef kExp{.name = "Exp",
                 .infer = infer_unary,
                 .forward = forward,
                 .vjp = vjp,
                 .divides = true,
                 .in_place = 1};

}  // namespace tinytl

// Log: y = ln(x). Gradient: dx = dy / x. Saves x.

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) { map_unary(t, TT_LOG); }

void vjp(GradBuilder& grad) {
  if (grad.wants(0)) grad.set(0, grad.emit(kDiv, {grad.dy(), grad.node().input(0)}));
}

}  // namespace

const OpDef kLog{.name = "Log",
                 .infer = infer_unary,
                 .forward = forward,
                 .vjp = vjp,
                 .divides = true,
                 .in_place = 1};

}  // namespace tinytl

// Div: z = x / y, with broadcasting. Gradients: dx = dz / y, dy = -dz z / y, summed where
// broadcast.

#include "engine/ops/broadcast.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

enum { kX, kY };

void forward(const Node&, const KernelArgs& t) { apply_broadcast(t, TT_DIV); }

void vjp(GradBuilder& grad) {
  const ValueId y = grad.node().input(kY), z = grad.node().output();
  const ValueId quotient = grad.emit(kDiv, {grad.dy(), y});
  if (grad.wants(kY)) {
    const ValueId product = grad.emit(kMul, {quotient, z});
    grad.set_reduced(kY, grad.emit(kScale, {product}, {{"factor", -1.0f}}));
  }
  if (grad.wants(kX)) grad.set_reduced(kX, quotient);
}

}  // namespace

const OpDef kDiv{.name = "Div",
                 .infer = infer_broadcast,
                 .forward = forward,
                 .vjp = vjp,
                 .divides = true,
                 .in_place = 0b11};

}  // namespace tinytl

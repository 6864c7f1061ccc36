// Mul: z = x y, with broadcasting. Gradients: dx = dz y, dy = dz x, summed where broadcast.

#include "engine/ops/broadcast.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

enum { kX, kY };

void forward(const Node&, const KernelArgs& t) { apply_broadcast(t, TT_MUL); }

void vjp(GradBuilder& grad) {
  const ValueId x = grad.node().input(kX), y = grad.node().input(kY);
  if (grad.wants(kX)) grad.set_reduced(kX, grad.emit(kMul, {grad.dy(), y}));
  if (grad.wants(kY)) grad.set_reduced(kY, grad.emit(kMul, {grad.dy(), x}));
}

}  // namespace

const OpDef kMul{.name = "Mul",
                 .infer = infer_broadcast,
                 .forward = forward,
                 .vjp = vjp,
                 .divides = true,
                 .in_place = 0b11};

}  // namespace tinytl

// Sub: z = x - y, with broadcasting. Gradients: dx = dz, dy = -dz, summed where broadcast.

#include "engine/ops/broadcast.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

enum { kX, kY };

void forward(const Node&, const KernelArgs& t) { apply_broadcast(t, TT_SUB); }

void vjp(GradBuilder& grad) {
  if (grad.wants(kX)) grad.set_reduced(kX, grad.dy());
  if (grad.wants(kY)) {
    grad.set_reduced(kY, grad.emit(kScale, {grad.dy()}, {{"factor", -1.0f}}));
  }
}

}  // namespace

const OpDef kSub{.name = "Sub",
                 .infer = infer_broadcast,
                 .forward = forward,
                 .vjp = vjp,
                 .divides = true,
                 .in_place = 0b11};

}  // namespace tinytl

// Add: z = x + y, with broadcasting. Gradients: dx = dz, dy = dz, summed where broadcast.

#include "engine/ops/broadcast.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

enum { kX, kY };

void forward(const Node&, const KernelArgs& t) {
  if (t.type(kX).shape == t.type(kY).shape) {
    t.kernels().add(t.f32(kX), t.f32(kY), t.out_type().elements(), t.out_f32());
  } else {
    apply_broadcast(t, [](float x, float y) { return x + y; });
  }
}

void vjp(GradBuilder& grad) {
  if (grad.wants(kX)) grad.set_reduced(kX, grad.dy());
  if (grad.wants(kY)) grad.set_reduced(kY, grad.dy());
}

}  // namespace

const OpDef kAdd{
    .name = "Add", .infer = infer_broadcast, .forward = forward, .vjp = vjp, .in_place = 0b11};

}  // namespace tinytl

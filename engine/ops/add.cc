// Add: z = x + y, with broadcasting. Gradients: dx = dz, dy = dz, summed where broadcast.
//
// Attributes low, high, mask and keep as in op_helpers.h, where the shapes agree.

#include "engine/ops/broadcast.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

enum { kX, kY };

OutputTypes infer(const Node& node, InputTypes in) {
  const OutputTypes z = infer_broadcast(node, in.first(own_inputs(node, in)));
  check(!has_epilogue(node) || in[kX].shape == in[kY].shape, node, in, "limits need equal shapes");
  return with_mask(node, in, z[0]);
}

void forward(const Node& node, const KernelArgs& t) {
  if (t.type(kX).shape == t.type(kY).shape) {
    const Share share = t.share(t.out_type().elements(), 64);
    if (share.size() == 0) return;
    const float *x = t.f32(kX) + share.begin, *y = t.f32(kY) + share.begin;
    float* z = t.out_f32() + share.begin;
    if (!has_epilogue(node)) return t.kernels().add(x, y, share.size(), z);
    const tt_epilogue end = shifted(epilogue_of(node, t), share.begin);
    t.kernels().add_layer(x, y, share.size(), &end, z);
  } else {
    apply_broadcast(t, TT_ADD);
  }
}

void vjp(GradBuilder& grad) {
  const ValueId dy = dy_of_layer(grad);
  if (grad.wants(kX)) grad.set_reduced(kX, dy);
  if (grad.wants(kY)) grad.set_reduced(kY, dy);
}

}  // namespace

const OpDef kAdd{.name = "Add",
                 .infer = infer,
                 .forward = forward,
                 .vjp = vjp,
                 .divides = true,
                 .in_place = 0b11};

}  // namespace tinytl

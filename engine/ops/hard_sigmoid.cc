// HardSigmoid: y = min(max("alpha" x + "beta", 0), 1).
//
// Gradient: dx = dy alpha where 0 < y < 1, else 0: one bit an element, taken from y.

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node& node, const KernelArgs& t) {
  map_unary(t, TT_HARD_SIGMOID, node.attributes.number("alpha"), node.attributes.number("beta"));
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const Node& node = grad.node();
  const ValueId mask = grad.emit(kClipMask, {node.output()}, {{"low", 0.0f}, {"high", 1.0f}});
  const float alpha = node.attributes.number("alpha");
  grad.set(0, grad.emit(kMaskScale, {grad.dy(), mask}, {{"set", alpha}, {"clear", 0.0f}}));
}

}  // namespace

const OpDef kHardSigmoid{.name = "HardSigmoid",
                         .infer = infer_unary,
                         .forward = forward,
                         .vjp = vjp,
                         .divides = true,
                         .in_place = 1};

}  // namespace tinytl

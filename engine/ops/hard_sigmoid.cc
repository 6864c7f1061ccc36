// HardSigmoid: y = min(max("alpha" x + "beta", 0), 1).
//
// Gradient: dx = dy alpha where 0 < y < 1, else 0: one bit an element, taken from y.

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node& node, const KernelArgs& t) {
  const float alpha = node.attributes.number("alpha"), beta = node.attributes.number("beta");
  map_unary(t, [=](float x) { return std::min(std::max(alpha * x + beta, 0.0f), 1.0f); });
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const Node& node = grad.node();
  const ValueId mask = grad.emit(kClipMask, {node.output()}, {{"low", 0.0f}, {"high", 1.0f}});
  const float alpha = node.attributes.number("alpha");
  grad.set(0, grad.emit(kMaskScale, {grad.dy(), mask}, {{"set", alpha}, {"clear", 0.0f}}));
}

}  // namespace

const OpDef kHardSigmoid{
    .name = "HardSigmoid", .infer = infer_unary, .forward = forward, .vjp = vjp, .in_place = 1};

}  // namespace tinytl

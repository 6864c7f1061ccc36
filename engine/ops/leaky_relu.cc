// LeakyReLU: y = x where x > 0, else x "alpha".
//
// Gradient: dx = dy where x > 0, else dy alpha: one bit an element. It is taken from y, which is
// positive exactly where x is, unless alpha is negative.

#include <limits>

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node& node, const KernelArgs& t) {
  map_unary(t, TT_LEAKY_RELU, node.attributes.number("alpha"));
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const Node& node = grad.node();
  const float alpha = node.attributes.number("alpha");
  const ValueId sign_source = alpha >= 0.0f ? node.output() : node.input(0);
  const ValueId mask = grad.emit(kClipMask, {sign_source},
                                 {{"low", 0.0f}, {"high", std::numeric_limits<float>::infinity()}});
  grad.set(0, grad.emit(kMaskScale, {grad.dy(), mask}, {{"set", 1.0f}, {"clear", alpha}}));
}

}  // namespace

const OpDef kLeakyRelu{.name = "LeakyRelu",
                       .infer = infer_unary,
                       .forward = forward,
                       .vjp = vjp,
                       .divides = true,
                       .in_place = 1};

}  // namespace tinytl

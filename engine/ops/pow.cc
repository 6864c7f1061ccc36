// Pow: y = x^e, e the number "exponent"; x >= 0 unless e is whole.
//
// Gradient: dx = dy e x^(e-1). Saves x; nothing at all where e is 1 or 0.

#include <cmath>

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node& node, const KernelArgs& t) {
  const float e = node.attributes.number("exponent");
  if (e == 2.0f) {
    map_unary(t, [](float x) { return x * x; });
  } else {
    map_unary(t, [e](float x) { return std::pow(x, e); });
  }
}

void backward(const Node& node, const KernelArgs& t) {
  const float e = node.attributes.number("exponent");
  if (e == 2.0f) {
    map_unary_grad(t, [](float dy, float x) { return dy * 2.0f * x; });
  } else {
    map_unary_grad(t, [e](float dy, float x) { return dy * e * std::pow(x, e - 1.0f); });
  }
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const Node& node = grad.node();
  const float e = node.attributes.number("exponent");
  if (e == 1.0f || e == 0.0f) {
    grad.set(0, grad.emit(kScale, {grad.dy()}, {{"factor", e}}));
  } else {
    grad.set(0, grad.emit(kPowGrad, {grad.dy(), node.input(0)}, node.attributes));
  }
}

}  // namespace

const OpDef kPow{.name = "Pow",
                 .infer = infer_unary,
                 .forward = forward,
                 .vjp = vjp,
                 .divides = true,
                 .in_place = 1};
const OpDef kPowGrad{.name = "PowGrad",
                     .infer = infer_unary_grad,
                     .forward = backward,
                     .divides = true,
                     .in_place = 0b11};

}  // namespace tinytl

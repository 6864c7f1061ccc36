// Erf: y = erf(x). Gradient: dx = dy 2 / sqrt(pi) exp(-x^2). Saves x.

#include <cmath>

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) {
  map_unary(t, [](float x) { return std::erf(x); });
}

void backward(const Node&, const KernelArgs& t) {
  constexpr float kTwoOverSqrtPi = 1.12837917f;
  map_unary_grad(t, [](float dy, float x) { return dy * kTwoOverSqrtPi * std::exp(-x * x); });
}

}  // namespace

const OpDef kErf{.name = "Erf",
                 .infer = infer_unary,
                 .forward = forward,
                 .vjp = vjp_from_input<kErfGrad>,
                 .in_place = 1};
const OpDef kErfGrad{
    .name = "ErfGrad", .infer = infer_unary_grad, .forward = backward, .in_place = 0b11};

}  // namespace tinytl

// Sqrt: y = sqrt(x). Gradient: dx = dy / (2 y). Saves y only.

#include <cmath>

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) {
  map_unary(t, [](float x) { return std::sqrt(x); });
}

void backward(const Node&, const KernelArgs& t) {
  map_unary_grad(t, [](float dy, float y) { return dy * 0.5f / y; });
}

}  // namespace

const OpDef kSqrt{.name = "Sqrt",
                  .infer = infer_unary,
                  .forward = forward,
                  .vjp = vjp_from_output<kSqrtGrad>,
                  .divides = true,
                  .in_place = 1};
const OpDef kSqrtGrad{.name = "SqrtGrad",
                      .infer = infer_unary_grad,
                      .forward = backward,
                      .divides = true,
                      .in_place = 0b11};

}  // namespace tinytl

// Reciprocal: y = 1 / x. Gradient: dx = -dy y^2. Saves y only.

#include <cmath>

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) {
  map_unary(t, [](float x) { return 1.0f / x; });
}

void backward(const Node&, const KernelArgs& t) {
  map_unary_grad(t, [](float dy, float y) { return -dy * y * y; });
}

}  // namespace

const OpDef kReciprocal{.name = "Reciprocal",
                        .infer = infer_unary,
                        .forward = forward,
                        .vjp = vjp_from_output<kReciprocalGrad>,
                        .divides = true,
                        .in_place = 1};
const OpDef kReciprocalGrad{.name = "ReciprocalGrad",
                            .infer = infer_unary_grad,
                            .forward = backward,
                            .divides = true,
                            .in_place = 0b11};

}  // namespace tinytl

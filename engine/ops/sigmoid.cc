// Sigmoid: y = 1 / (1 + exp(-x)).
//
// Gradient: dx = dy y (1 - y). Saves y only: the next layer often keeps it anyway.

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) { map_unary(t, TT_SIGMOID); }

void backward(const Node&, const KernelArgs& t) { map_unary_grad(t, TT_SIGMOID); }

}  // namespace

const OpDef kSigmoid{.name = "Sigmoid",
                     .infer = infer_unary,
                     .forward = forward,
                     .vjp = vjp_from_output<kSigmoidGrad>,
                     .divides = true,
                     .in_place = 1};
const OpDef kSigmoidGrad{.name = "SigmoidGrad",
                         .infer = infer_unary_grad,
                         .forward = backward,
                         .divides = true,
                         .in_place = 0b11};

}  // namespace tinytl

// Erf: y = erf(x). Gradient: dx = dy 2 / sqrt(pi) exp(-x^2). Saves x.

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) { map_unary(t, TT_ERF); }

void backward(const Node&, const KernelArgs& t) { map_unary_grad(t, TT_ERF); }

}  // namespace

const OpDef kErf{.name = "Erf",
                 .infer = infer_unary,
                 .forward = forward,
                 .vjp = vjp_from_input<kErfGrad>,
                 .divides = true,
                 .in_place = 1};
const OpDef kErfGrad{.name = "ErfGrad",
                     .infer = infer_unary_grad,
                     .forward = backward,
                     .divides = true,
                     .in_place = 0b11};

}  // namespace tinytl

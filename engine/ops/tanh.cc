// Tanh: y = tanh(x). Gradient: dx = dy (1 - y^2). Saves y only.

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) { map_unary(t, TT_TANH); }

void backward(const Node&, const KernelArgs& t) { map_unary_grad(t, TT_TANH); }

}  // namespace

const OpDef kTanh{.name = "Tanh",
                  .infer = infer_unary,
                  .forward = forward,
                  .vjp = vjp_from_output<kTanhGrad>,
                  .divides = true,
                  .in_place = 1};
const OpDef kTanhGrad{.name = "TanhGrad",
                      .infer = infer_unary_grad,
                      .forward = backward,
                      .divides = true,
                      .in_place = 0b11};

}  // namespace tinytl

// Softplus: y = log(1 + exp(x)).
//
// Gradient: dx = dy sigmoid(x) = dy (1 - exp(-y)). Saves y only. Both are written so that nothing
// overflows and small results keep their digits.

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) { map_unary(t, TT_SOFTPLUS); }

void backward(const Node&, const KernelArgs& t) { map_unary_grad(t, TT_SOFTPLUS); }

}  // namespace

const OpDef kSoftplus{.name = "Softplus",
                      .infer = infer_unary,
                      .forward = forward,
                      .vjp = vjp_from_output<kSoftplusGrad>,
                      .divides = true,
                      .in_place = 1};
const OpDef kSoftplusGrad{.name = "SoftplusGrad",
                          .infer = infer_unary_grad,
                          .forward = backward,
                          .divides = true,
                          .in_place = 0b11};

}  // namespace tinytl

// SiLU (swish): y = x sigmoid(x). Elfwing et al., Neural Networks 2018.
//
// Gradient: dx = dy s (1 + x (1 - s)), s = sigmoid(x). Saves x only, where Sigmoid and Mul as two
// nodes would save x and s; y does not determine x (it falls, then rises).

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) { map_unary(t, TT_SILU); }

void backward(const Node&, const KernelArgs& t) { map_unary_grad(t, TT_SILU); }

}  // namespace

const OpDef kSilu{.name = "Silu",
                  .infer = infer_unary,
                  .forward = forward,
                  .vjp = vjp_from_input<kSiluGrad>,
                  .divides = true,
                  .in_place = 1};
const OpDef kSiluGrad{.name = "SiluGrad",
                      .infer = infer_unary_grad,
                      .forward = backward,
                      .divides = true,
                      .in_place = 0b11};

}  // namespace tinytl

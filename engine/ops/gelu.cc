// GELU (Hendrycks & Gimpel, 2016), the integer "tanh" chooses the form:
//   0:  y = x Phi(x), Phi the normal distribution function
//   1:  y = x/2 (1 + tanh(u)) = x s,  u = sqrt(2/pi) (x + 0.044715 x^3),  s = sigmoid(2 u)
//
// Gradient, from x (y does not determine x: it falls, then rises):
//   0:  dx = dy (Phi(x) + x phi(x)), phi the normal density
//   1:  dx = dy s (1 + 2 x (1 - s) du/dx)

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

tt_function form(const Node& node) {
  return node.attributes.integer("tanh") != 0 ? TT_GELU_TANH : TT_GELU;
}

void forward(const Node& node, const KernelArgs& t) { map_unary(t, form(node)); }

void backward(const Node& node, const KernelArgs& t) { map_unary_grad(t, form(node)); }

}  // namespace

const OpDef kGelu{.name = "Gelu",
                  .infer = infer_unary,
                  .forward = forward,
                  .vjp = vjp_from_input<kGeluGrad>,
                  .divides = true,
                  .in_place = 1};
const OpDef kGeluGrad{.name = "GeluGrad",
                      .infer = infer_unary_grad,
                      .forward = backward,
                      .divides = true,
                      .in_place = 0b11};

}  // namespace tinytl

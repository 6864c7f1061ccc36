// ELU: y = x where x > 0, else "alpha" (exp(x) - 1), alpha >= 0. Clevert et al., ICLR 2016.
//
// Gradient: dx = dy where y > 0, else dy (y + alpha). Saves y only.

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

OutputTypes infer(const Node& node, InputTypes in) {
  check(node.attributes.number("alpha") >= 0.0f, node, in, "alpha must not be negative");
  return infer_unary(node, in);
}

void forward(const Node& node, const KernelArgs& t) {
  map_unary(t, TT_ELU, node.attributes.number("alpha"));
}

void backward(const Node& node, const KernelArgs& t) {
  map_unary_grad(t, TT_ELU, node.attributes.number("alpha"));
}

}  // namespace

const OpDef kElu{.name = "Elu",
                 .infer = infer,
                 .forward = forward,
                 .vjp = vjp_from_output<kEluGrad>,
                 .divides = true,
                 .in_place = 1};
const OpDef kEluGrad{.name = "EluGrad",
                     .infer = infer_unary_grad,
                     .forward = backward,
                     .divides = true,
                     .in_place = 0b11};

}  // namespace tinytl

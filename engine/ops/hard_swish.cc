// HardSwish: y = x min(max(x / 6 + 1/2, 0), 1). Howard et al., MobileNetV3, ICCV 2019.
//
// Gradient: dx = 0 for x <= -3, dy for x >= 3, else dy (x / 3 + 1/2). Saves x, as y does not
// determine it (y falls down to x = -3/2, then rises).

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) { map_unary(t, TT_HARD_SWISH); }

void backward(const Node&, const KernelArgs& t) { map_unary_grad(t, TT_HARD_SWISH); }

}  // namespace

const OpDef kHardSwish{.name = "HardSwish",
                       .infer = infer_unary,
                       .forward = forward,
                       .vjp = vjp_from_input<kHardSwishGrad>,
                       .divides = true,
                       .in_place = 1};
const OpDef kHardSwishGrad{.name = "HardSwishGrad",
                           .infer = infer_unary_grad,
                           .forward = backward,
                           .divides = true,
                           .in_place = 0b11};

}  // namespace tinytl

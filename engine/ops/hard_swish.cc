// HardSwish: y = x min(max(x / 6 + 1/2, 0), 1). Howard et al., MobileNetV3, ICCV 2019.
//
// Gradient: dx = 0 for x <= -3, dy for x >= 3, else dy (x / 3 + 1/2). Saves x, as y does not
// determine it (y falls down to x = -3/2, then rises).

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) {
  map_unary(t,
            [](float x) { return x * std::min(std::max(x * (1.0f / 6.0f) + 0.5f, 0.0f), 1.0f); });
}

void backward(const Node&, const KernelArgs& t) {
  map_unary_grad(t, [](float dy, float x) {
    const float slope = x * (1.0f / 3.0f) + 0.5f;
    return x <= -3.0f ? 0.0f : x >= 3.0f ? dy : dy * slope;
  });
}

}  // namespace

const OpDef kHardSwish{.name = "HardSwish",
                       .infer = infer_unary,
                       .forward = forward,
                       .vjp = vjp_from_input<kHardSwishGrad>,
                       .in_place = 1};
const OpDef kHardSwishGrad{
    .name = "HardSwishGrad", .infer = infer_unary_grad, .forward = backward, .in_place = 0b11};

}  // namespace tinytl

// Abs: y = |x|.
//
// Gradient: dx = dy where x > 0, else -dy: one bit an element, taken from x. (At x = 0, where there
// is no derivative, this is -dy; PyTorch's choice 0 would cost a second bit.)

#include <cmath>
#include <limits>

#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node&, const KernelArgs& t) { map_unary(t, TT_ABS); }

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const ValueId mask = grad.emit(kClipMask, {grad.node().input(0)},
                                 {{"low", 0.0f}, {"high", std::numeric_limits<float>::infinity()}});
  grad.set(0, grad.emit(kMaskScale, {grad.dy(), mask}, {{"set", 1.0f}, {"clear", -1.0f}}));
}

}  // namespace

const OpDef kAbs{.name = "Abs",
                 .infer = infer_unary,
                 .forward = forward,
                 .vjp = vjp,
                 .divides = true,
                 .in_place = 1};

}  // namespace tinytl

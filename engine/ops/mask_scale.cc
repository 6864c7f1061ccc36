// MaskScale: y = x "set" where the mask bit is 1, x "clear" where it is 0. The gradient of every
// operator with two slopes (LeakyRelu, Abs, HardSigmoid), which then saves one bit an element.
//
// Gradient: dx = MaskScale(dy, mask).

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

enum { kX, kMask };

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[kX].dtype == DType::kF32 && in[kMask].dtype == DType::kBit &&
            in[kX].shape == in[kMask].shape,
        node, in, "takes an f32 tensor and a bit mask of the same shape");
  return {in[kX]};
}

void forward(const Node& node, const KernelArgs& t) {
  const Share share = t.share(t.out_type().elements(), 64);
  t.kernels().mask_scale(t.f32(kX) + share.begin, t.bits(kMask) + share.begin / 8, share.size(),
                         node.attributes.number("set"), node.attributes.number("clear"),
                         t.out_f32() + share.begin);
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(kX)) return;
  const Node& node = grad.node();
  grad.set(kX, grad.emit(kMaskScale, {grad.dy(), node.input(kMask)}, node.attributes));
}

}  // namespace

const OpDef kMaskScale{.name = "MaskScale",
                       .infer = infer,
                       .forward = forward,
                       .vjp = vjp,
                       .divides = true,
                       .in_place = 1};

}  // namespace tinytl

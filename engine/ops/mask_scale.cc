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
  const float factor[2] = {node.attributes.number("clear"), node.attributes.number("set")};
  const float* x = t.f32(kX);
  const uint8_t* mask = t.bits(kMask);
  float* y = t.out_f32();
  const int64_t n = t.out_type().elements();
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * factor[mask[i / 8] >> (i % 8) & 1];
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(kX)) return;
  const Node& node = grad.node();
  grad.set(kX, grad.emit(kMaskScale, {grad.dy(), node.input(kMask)}, node.attributes));
}

}  // namespace

const OpDef kMaskScale{
    .name = "MaskScale", .infer = infer, .forward = forward, .vjp = vjp, .in_place = 1};

}  // namespace tinytl

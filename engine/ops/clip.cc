// Clip: y = min(max(x, low), high). ReLU is low = 0, high = infinity; ReLU6 is low = 0, high = 6.
//
// Gradient: dx = dy where low < x < high, else 0. That is one bit an element, taken from y (which
// is strictly inside exactly where x is), so that neither x nor y is kept for the backward pass:
//   ClipMask(y) -> bits        MaskApply(dy, bits) -> dx
// Where y is kept anyway, autodiff replaces the pair by ClipGrad(dy, y) and saves the bits too.

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

void forward(const Node& node, const KernelArgs& t) {
  t.kernels().clip(t.f32(0), t.out_type().elements(), node.attributes.number("low"),
                   node.attributes.number("high"), t.out_f32());
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const ValueId mask = grad.emit(kClipMask, {grad.node().output()}, grad.node().attributes);
  grad.set(0, grad.emit(kMaskApply, {grad.dy(), mask}));
}

OutputTypes infer_mask(const Node& node, InputTypes in) {
  return {{DType::kBit, infer_unary(node, in)[0].shape}};
}

void mask(const Node& node, const KernelArgs& t) {
  t.kernels().clip_mask(t.f32(0), t.type(0).elements(), node.attributes.number("low"),
                        node.attributes.number("high"), t.out_bits());
}

OutputTypes infer_mask_apply(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[1].dtype == DType::kBit && in[0].shape == in[1].shape, node, in,
        "takes dy and a bit mask of the same shape");
  return {in[0]};
}

void mask_apply(const Node&, const KernelArgs& t) {
  t.kernels().mask_apply(t.f32(0), t.bits(1), t.out_type().elements(), t.out_f32());
}

void mask_apply_vjp(GradBuilder& grad) {
  if (grad.wants(0)) grad.set(0, grad.emit(kMaskApply, {grad.dy(), grad.node().input(1)}));
}

void clip_grad(const Node& node, const KernelArgs& t) {
  t.kernels().clip_grad(t.f32(0), t.f32(1), t.out_type().elements(), node.attributes.number("low"),
                        node.attributes.number("high"), t.out_f32());
}

}  // namespace

const OpDef kClip{
    .name = "Clip", .infer = infer_unary, .forward = forward, .vjp = vjp, .in_place = 1};
const OpDef kClipMask{.name = "ClipMask", .infer = infer_mask, .forward = mask};
const OpDef kMaskApply{.name = "MaskApply",
                       .infer = infer_mask_apply,
                       .forward = mask_apply,
                       .vjp = mask_apply_vjp,
                       .in_place = 1};
const OpDef kClipGrad{
    .name = "ClipGrad", .infer = infer_unary_grad, .forward = clip_grad, .in_place = 1};

}  // namespace tinytl

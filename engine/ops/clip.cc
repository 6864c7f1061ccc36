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

// Parts share no byte of a mask, and no cache line.
Share share_of(const KernelArgs& t) { return t.share(t.type(0).elements(), 64); }

void forward(const Node& node, const KernelArgs& t) {
  const Share s = share_of(t);
  t.kernels().clip(t.f32(0) + s.begin, s.size(), node.attributes.number("low"),
                   node.attributes.number("high"), t.out_f32() + s.begin);
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
  const Share s = share_of(t);
  t.kernels().clip_mask(t.f32(0) + s.begin, s.size(), node.attributes.number("low"),
                        node.attributes.number("high"), t.out_bits() + s.begin / 8);
}

OutputTypes infer_mask_apply(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[1].dtype == DType::kBit && in[0].shape == in[1].shape, node, in,
        "takes dy and a bit mask of the same shape");
  return {in[0]};
}

void mask_apply(const Node&, const KernelArgs& t) {
  const Share s = share_of(t);
  t.kernels().mask_apply(t.f32(0) + s.begin, t.bits(1) + s.begin / 8, s.size(),
                         t.out_f32() + s.begin);
}

void mask_apply_vjp(GradBuilder& grad) {
  if (grad.wants(0)) grad.set(0, grad.emit(kMaskApply, {grad.dy(), grad.node().input(1)}));
}

void clip_grad(const Node& node, const KernelArgs& t) {
  const Share s = share_of(t);
  t.kernels().clip_grad(t.f32(0) + s.begin, t.f32(1) + s.begin, s.size(),
                        node.attributes.number("low"), node.attributes.number("high"),
                        t.out_f32() + s.begin);
}

}  // namespace

const OpDef kClip{.name = "Clip",
                  .infer = infer_unary,
                  .forward = forward,
                  .vjp = vjp,
                  .divides = true,
                  .in_place = 1};
const OpDef kClipMask{.name = "ClipMask", .infer = infer_mask, .forward = mask, .divides = true};
const OpDef kMaskApply{.name = "MaskApply",
                       .infer = infer_mask_apply,
                       .forward = mask_apply,
                       .vjp = mask_apply_vjp,
                       .divides = true,
                       .in_place = 1};
const OpDef kClipGrad{.name = "ClipGrad",
                      .infer = infer_unary_grad,
                      .forward = clip_grad,
                      .divides = true,
                      .in_place = 1};

}  // namespace tinytl

// Clip: y = min(max(x, low), high). ReLU is low = 0, high = infinity; ReLU6 is low = 0, high = 6.
//
// Gradient: dx = dy where low < x < high, else 0. That is one bit an element, taken from y (which
// is strictly inside exactly where x is), so that neither x nor y is kept for the backward pass:
//   ClipMask(y) -> bits        MaskApply(dy, bits) -> dx
// dy and dx of MaskApply may be kRow8; from one to the other it is exact.
// Where y is kept anyway, autodiff replaces the pair by ClipGrad(dy, y) and saves the bits too.

#include <cstring>

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"
#include "engine/ops/row_codes.h"
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
  return {has_row8(node, in) ? gradient_result(node, in[0].shape) : in[0]};
}

int64_t rows_at_once(const TensorType& type) {
  return mask_strip_rows(rows_of(type), columns_of(type));
}

size_t mask_apply_scratch(const Node& node, InputTypes in, const tt_kernels&) {
  if (!writes_row8(node) || is_row8(in[0])) return 0;
  return static_cast<size_t>(rows_at_once(in[0]) * columns_of(in[0])) * sizeof(float);
}

// Codes become 0 where the mask is; scales stay.
void mask_codes(const KernelArgs& t, Share rows) {
  const TensorType& type = t.type(0);
  const int64_t columns = columns_of(type);
  const int8_t* const codes = t.i8(0);
  int8_t* const result = t.out_i8();
  for (int64_t i = rows.begin * columns; i < rows.end * columns; ++i) {
    const auto bit = static_cast<unsigned>(t.bits(1)[i / 8]) >> (i % 8) & 1u;
    result[i] = static_cast<int8_t>(codes[i] & -static_cast<int>(bit));
  }
  if (result == codes || rows.size() == 0) return;
  const auto offset = static_cast<int64_t>(type.scale_offset()) + rows.begin * 4;
  std::memcpy(result + offset, codes + offset, static_cast<size_t>(rows.size()) * sizeof(float));
}

void mask_rows(const Node& node, const KernelArgs& t) {
  const int64_t columns = columns_of(t.type(0));
  const Share all = t.share(rows_of(t.type(0)), kMaskRows);
  if (is_row8(t.type(0)) && writes_row8(node)) return mask_codes(t, all);
  auto* const room = static_cast<float*>(t.scratch());
  for_each_strip(t, all, rows_at_once(t.type(0)), room, [&](Share rows, float* dx) {
    const float* const dy = rows_of_input(t, 0, rows, dx);
    t.kernels().mask_apply(dy, t.bits(1) + rows.begin * columns / 8, rows.size() * columns, dx);
  });
}

void mask_apply(const Node& node, const KernelArgs& t) {
  if (has_row8(node, t)) return mask_rows(node, t);
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
                       .scratch_bytes = mask_apply_scratch,
                       .reads_row8 = 0b1,
                       .writes_row8 = true,
                       .in_place = 1};
const OpDef kClipGrad{.name = "ClipGrad",
                      .infer = infer_unary_grad,
                      .forward = clip_grad,
                      .divides = true,
                      .in_place = 1};

}  // namespace tinytl

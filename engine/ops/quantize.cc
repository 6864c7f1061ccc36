// Between real numbers and 8-bit levels (q_layer.h):
//
//   Quantize(x) -> i8    y = y_zero + round(x / y_scale), ties to even, limited to [-128, 127]
//   Dequantize(x8)       y = (x8 - x_zero) x_scale
//   LevelMask(y8)        bit: low < y8 < high
//
// Gradients pass straight through (Bengio et al., 2013), those of Quantize where y reached no
// limit. Quantize is also what a layer of integers ends in: q_conv2d.cc.

#include "engine/ops/op_table.h"
#include "engine/ops/q_layer.h"

namespace tinytl {
namespace {

constexpr int64_t kGrain = 64;  // whole bytes of masks, whole lines of the cache

OutputTypes infer_quantize(const Node& node, InputTypes in) {
  check(in.size() == 1 && in[0].dtype == DType::kF32, node, in, "takes one f32 tensor");
  check(node.attributes.number("y_scale") > 0, node, in, "needs a scale above 0");
  return {{DType::kI8, in[0].shape}};
}

void quantize(const Node& node, const KernelArgs& t) {
  const Share s = t.share(t.out_type().elements(), kGrain);
  t.kernels().quantize_q8(t.f32(0) + s.begin, s.size(), node.attributes.number("y_scale"),
                          static_cast<int32_t>(node.attributes.integer("y_zero")),
                          t.out_i8() + s.begin);
}

void quantize_vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const ValueId mask = grad.emit(kLevelMask, {grad.node().output()},
                                 {{"low", int64_t{-128}}, {"high", int64_t{127}}});
  grad.set(0, grad.emit(kMaskApply, {grad.dy(), mask}));
}

OutputTypes infer_dequantize(const Node& node, InputTypes in) {
  check(in.size() == 1 && in[0].dtype == DType::kI8, node, in, "takes one i8 tensor");
  return {{DType::kF32, in[0].shape}};
}

void dequantize(const Node& node, const KernelArgs& t) {
  const Share s = t.share(t.out_type().elements(), kGrain);
  t.kernels().dequantize_q8(t.i8(0) + s.begin, s.size(), node.attributes.number("x_scale"),
                            static_cast<int32_t>(node.attributes.integer("x_zero")),
                            t.out_f32() + s.begin);
}

void dequantize_vjp(GradBuilder& grad) {
  if (grad.wants(0)) grad.set(0, grad.dy());
}

OutputTypes infer_mask(const Node& node, InputTypes in) {
  check(in.size() == 1 && in[0].dtype == DType::kI8, node, in, "takes one i8 tensor");
  return {{DType::kBit, in[0].shape}};
}

void mask(const Node& node, const KernelArgs& t) {
  const Share s = t.share(t.out_type().elements(), kGrain);
  t.kernels().mask_q8(
      t.i8(0) + s.begin, s.size(), static_cast<int32_t>(node.attributes.integer("low")),
      static_cast<int32_t>(node.attributes.integer("high")), t.out_bits() + s.begin / 8);
}

}  // namespace

const OpDef kQuantize{.name = "Quantize",
                      .infer = infer_quantize,
                      .forward = quantize,
                      .vjp = quantize_vjp,
                      .divides = true};
const OpDef kDequantize{.name = "Dequantize",
                        .infer = infer_dequantize,
                        .forward = dequantize,
                        .vjp = dequantize_vjp,
                        .divides = true};
const OpDef kLevelMask{.name = "LevelMask", .infer = infer_mask, .forward = mask, .divides = true};

}  // namespace tinytl

// LayerNorm over the last dimension (Ba et al., 2016):
//   y = scale n + bias,   n = (x - mean(x)) r,   r = 1 / sqrt(var(x) + "epsilon")
//
// Gradients, g = dy scale:
//   dx = r (g - mean(g) - n mean(g n))     LayerNormGradInput(dy, x, scale)
//   dscale = sum of dy n over rows         LayerNormGradScale(dy, x)
//   dbias = sum of dy over rows
//
// dx and dscale save x and recompute mean and r from it: nothing is saved beside x, and with a
// frozen scale no gradient of it is computed. dbias saves nothing.

#include "engine/ops/norm.h"
#include "engine/ops/op_helpers.h"

namespace tinytl {
namespace {

bool is_f32_vector(const TensorType& type, int64_t n) {
  return type == TensorType{DType::kF32, {n}};
}

}  // namespace

namespace layer_norm {

enum { kX, kScale, kBias };

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 3 && in[kX].dtype == DType::kF32 && in[kX].rank() >= 1, node, in,
        "takes x, scale and bias");
  const int64_t channels = columns_of(in[kX]);
  check(is_f32_vector(in[kScale], channels) && is_f32_vector(in[kBias], channels), node, in,
        "scale and bias need one entry per element of the last dimension of x");
  check(node.attributes.number("epsilon") >= 0.0f, node, in, "epsilon must not be negative");
  return {in[kX]};
}

void forward(const Node& node, const KernelArgs& t) {
  const int64_t channels = columns_of(t.type(kX));
  const Share rows = t.share(rows_of(t.type(kX)));
  const int64_t first = rows.begin * channels;
  t.kernels().layer_norm(t.f32(kX) + first, rows.size(), channels, t.f32(kScale), t.f32(kBias),
                         node.attributes.number("epsilon"), t.out_f32() + first);
}

void vjp(GradBuilder& grad) { norm_vjp(grad, kLayerNormGradInput, kLayerNormGradScale); }

}  // namespace layer_norm

namespace layer_norm_grad {

enum { kDy, kX, kScale };

OutputTypes infer_input(const Node& node, InputTypes in) {
  check(in.size() == 3 && in[kDy].dtype == DType::kF32 && in[kDy].rank() >= 1 &&
            in[kDy] == in[kX] && is_f32_vector(in[kScale], columns_of(in[kX])),
        node, in, "takes dy, x and scale");
  return {in[kDy]};
}

void grad_input(const Node& node, const KernelArgs& t) {
  const int64_t channels = columns_of(t.type(kX));
  const Share rows = t.share(rows_of(t.type(kX)));
  const int64_t first = rows.begin * channels;
  t.kernels().layer_norm_grad_input(t.f32(kDy) + first, t.f32(kX) + first, rows.size(), channels,
                                    t.f32(kScale), node.attributes.number("epsilon"),
                                    t.out_f32() + first);
}

OutputTypes infer_scale(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[kDy].dtype == DType::kF32 && in[kDy].rank() >= 1 && in[kDy] == in[kX],
        node, in, "takes dy and x, f32 of one shape");
  return {{DType::kF32, {columns_of(in[kX])}}};
}

void grad_scale(const Node& node, const KernelArgs& t) {
  t.kernels().layer_norm_grad_scale(t.f32(kDy), t.f32(kX), rows_of(t.type(kX)),
                                    columns_of(t.type(kX)), node.attributes.number("epsilon"),
                                    t.out_f32());
}

}  // namespace layer_norm_grad

const OpDef kLayerNorm{.name = "LayerNorm",
                       .infer = layer_norm::infer,
                       .forward = layer_norm::forward,
                       .vjp = layer_norm::vjp,
                       .divides = true,
                       .in_place = 1};
const OpDef kLayerNormGradInput{.name = "LayerNormGradInput",
                                .infer = layer_norm_grad::infer_input,
                                .forward = layer_norm_grad::grad_input,
                                .divides = true,
                                .in_place = 0b11};
const OpDef kLayerNormGradScale{.name = "LayerNormGradScale",
                                .infer = layer_norm_grad::infer_scale,
                                .forward = layer_norm_grad::grad_scale};

}  // namespace tinytl

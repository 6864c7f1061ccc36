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

#include <algorithm>
#include <cmath>

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

struct Moments {
  float mean, inverse_std;
};

Moments moments(const float* x, int64_t n, float epsilon) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]);
  const double mean = sum / static_cast<double>(n);
  double squares = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double d = static_cast<double>(x[i]) - mean;
    squares += d * d;
  }
  const double variance = squares / static_cast<double>(n);
  return {static_cast<float>(mean),
          static_cast<float>(1.0 / std::sqrt(variance + static_cast<double>(epsilon)))};
}

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
  const float epsilon = node.attributes.number("epsilon");
  const int64_t rows = rows_of(t.type(kX)), channels = columns_of(t.type(kX));
  const float* scale = t.f32(kScale);
  const float* bias = t.f32(kBias);
  for (int64_t r = 0; r < rows; ++r) {
    const float* x = t.f32(kX) + r * channels;
    float* y = t.out_f32() + r * channels;
    const Moments m = moments(x, channels, epsilon);
    for (int64_t c = 0; c < channels; ++c) {
      y[c] = (x[c] - m.mean) * m.inverse_std * scale[c] + bias[c];
    }
  }
}

void vjp(GradBuilder& grad) {
  const Node& node = grad.node();
  const ValueId x = node.input(kX), scale = node.input(kScale);
  if (grad.wants(kBias)) {
    grad.set(kBias, grad.emit(kSumTo, {grad.dy()}, {{"shape", grad.input_type(kBias).shape}}));
  }
  if (grad.wants(kScale)) {
    grad.set(kScale, grad.emit(kLayerNormGradScale, {grad.dy(), x}, node.attributes));
  }
  if (grad.wants(kX)) {
    grad.set(kX, grad.emit(kLayerNormGradInput, {grad.dy(), x, scale}, node.attributes));
  }
}

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
  const float epsilon = node.attributes.number("epsilon");
  const int64_t rows = rows_of(t.type(kX)), channels = columns_of(t.type(kX));
  const float* scale = t.f32(kScale);
  for (int64_t r = 0; r < rows; ++r) {
    const float* dy = t.f32(kDy) + r * channels;
    const float* x = t.f32(kX) + r * channels;
    float* dx = t.out_f32() + r * channels;
    const Moments m = moments(x, channels, epsilon);
    double sum_g = 0, sum_gn = 0;
    for (int64_t c = 0; c < channels; ++c) {
      const float g = dy[c] * scale[c];
      sum_g += static_cast<double>(g);
      sum_gn += static_cast<double>(g * (x[c] - m.mean) * m.inverse_std);
    }
    const float mean_g = static_cast<float>(sum_g / static_cast<double>(channels));
    const float mean_gn = static_cast<float>(sum_gn / static_cast<double>(channels));
    for (int64_t c = 0; c < channels; ++c) {
      const float n = (x[c] - m.mean) * m.inverse_std;
      dx[c] = m.inverse_std * (dy[c] * scale[c] - mean_g - n * mean_gn);
    }
  }
}

OutputTypes infer_scale(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[kDy].dtype == DType::kF32 && in[kDy].rank() >= 1 && in[kDy] == in[kX],
        node, in, "takes dy and x, f32 of one shape");
  return {{DType::kF32, {columns_of(in[kX])}}};
}

void grad_scale(const Node& node, const KernelArgs& t) {
  const float epsilon = node.attributes.number("epsilon");
  const int64_t rows = rows_of(t.type(kX)), channels = columns_of(t.type(kX));
  float* dscale = t.out_f32();
  std::fill(dscale, dscale + channels, 0.0f);
  for (int64_t r = 0; r < rows; ++r) {
    const float* dy = t.f32(kDy) + r * channels;
    const float* x = t.f32(kX) + r * channels;
    const Moments m = moments(x, channels, epsilon);
    for (int64_t c = 0; c < channels; ++c) dscale[c] += dy[c] * (x[c] - m.mean) * m.inverse_std;
  }
}

}  // namespace layer_norm_grad

const OpDef kLayerNorm{.name = "LayerNorm",
                       .infer = layer_norm::infer,
                       .forward = layer_norm::forward,
                       .vjp = layer_norm::vjp,
                       .in_place = 1};
const OpDef kLayerNormGradInput{.name = "LayerNormGradInput",
                                .infer = layer_norm_grad::infer_input,
                                .forward = layer_norm_grad::grad_input,
                                .in_place = 0b11};
const OpDef kLayerNormGradScale{.name = "LayerNormGradScale",
                                .infer = layer_norm_grad::infer_scale,
                                .forward = layer_norm_grad::grad_scale};

}  // namespace tinytl

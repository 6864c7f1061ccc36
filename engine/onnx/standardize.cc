#include "engine/onnx/standardize.h"

#include <cmath>

#include "engine/ops/op_table.h"

namespace tinytl::internal {
namespace {

// Of one output channel: entries c, c + step, ...
void standardize_channel(std::span<float> w, size_t c, size_t step) {
  constexpr double kEpsilon = 1e-5;
  const auto n = static_cast<double>(w.size() / step);
  double sum = 0, squares = 0;
  for (size_t i = c; i < w.size(); i += step) sum += double{w[i]};
  const double mean = sum / n;
  for (size_t i = c; i < w.size(); i += step) squares += (w[i] - mean) * (w[i] - mean);
  const double deviation = std::sqrt(squares / std::max(1.0, n - 1));
  for (size_t i = c; i < w.size(); i += step) {
    w[i] = static_cast<float>((w[i] - mean) / (deviation + kEpsilon));
  }
}

}  // namespace

void standardize_layer(Builder& builder, ValueId value) {
  const Node* layer = builder.producer(value, kConv2d);
  if (layer == nullptr) layer = builder.producer(value, kDepthwiseConv2d);
  if (layer == nullptr || layer->inputs.size() != 2) return;
  Value& weight = builder.graph.value(layer->input(1));
  if (!is_parameter(weight.role) || builder.without_values.contains(weight.name)) return;
  if (!builder.standardized.insert(layer->input(1)).second) return;
  const std::span<float> w = builder.numbers_of(layer->input(1));
  const auto channels = static_cast<size_t>(weight.type.shape.back());
  for (size_t c = 0; c < channels; ++c) standardize_channel(w, c, channels);
}

}  // namespace tinytl::internal

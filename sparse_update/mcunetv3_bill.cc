#include "sparse_update/mcunetv3_bill.h"

#include <algorithm>
#include <cmath>

#include "engine/ops/weight_channels.h"
#include "sparse_update/resolve.h"

namespace tinytl {
namespace {

constexpr int64_t kBiasBits = 32, kByteBits = 8;

const TrainedParameter* find(const UpdateScheme& scheme, ValueId id) {
  const auto found = std::ranges::find(scheme.parameters, id, &TrainedParameter::parameter);
  return found == scheme.parameters.end() ? nullptr : &*found;
}

// Of one image.
int64_t elements_an_image(const Graph& graph, ValueId id) {
  const TensorType& type = graph.value(id).type;
  return type.elements() / type.dim(0);
}

// What the first layer that reads a parameter of the classifier reads besides.
int64_t classifier_input(const Graph& graph, std::span<const ValueId> classifier) {
  for (const Node& node : graph.nodes()) {
    for (size_t i = 1; i < node.inputs.size(); ++i) {
      if (std::ranges::find(classifier, node.inputs[i]) == classifier.end()) continue;
      return elements_an_image(graph, node.input(0));
    }
  }
  return 0;
}

}  // namespace

int64_t Mcunetv3Bill::bytes() const {
  int64_t bits = classifier_input;
  for (const Line& line : lines) bits += line.bits();
  return (bits + kByteBits - 1) / kByteBits;
}

Mcunetv3Bill::Line mcunetv3_line(const Graph& graph, const Convolution& conv, bool bias_trains,
                                 int64_t channels) {
  const Node& node = graph.node(conv.node);
  Mcunetv3Bill::Line line{.mask = elements_an_image(graph, node.output())};
  if (bias_trains && conv.bias.has_value()) {
    line.bias = kBiasBits * graph.value(*conv.bias).type.elements();
  }
  const TensorType& w = graph.value(conv.weight).type;
  const int64_t all = w.dim(input_channel_dimension(w));
  line.input = kByteBits * elements_an_image(graph, node.input(0)) / all * channels;
  line.weight = kByteBits * w.elements() / all * channels;
  return line;
}

Mcunetv3Bill mcunetv3_bill(const Graph& graph, const UpdateScheme& scheme,
                           std::span<const ValueId> classifier) {
  Mcunetv3Bill bill;
  bool begun = false;
  for (const Convolution& conv : convolutions(graph, classifier)) {
    const TrainedParameter* const weight = find(scheme, conv.weight);
    const bool bias = conv.bias.has_value() && find(scheme, *conv.bias) != nullptr;
    begun = begun || weight != nullptr || bias;
    bill.lines.emplace_back();
    if (!begun) continue;
    const TensorType& w = graph.value(conv.weight).type;
    const int64_t channels =
        weight == nullptr ? 0 : channels_of(w, weight->channels).dim(input_channel_dimension(w));
    bill.lines.back() = mcunetv3_line(graph, conv, bias, channels);
  }
  bill.classifier_input = kByteBits * classifier_input(graph, classifier);
  return bill;
}

Costs part_costs(const Graph& graph, std::span<const ValueId> classifier,
                 const CostWeights& weights) {
  const std::vector<Convolution> layers = convolutions(graph, classifier);
  Costs costs = by_part<int64_t>(static_cast<int64_t>(layers.size()));
  const auto bits = [](double sum) { return static_cast<int64_t>(std::ceil(sum)); };
  for (size_t k = 1; k <= layers.size(); ++k) {
    const auto line = mcunetv3_line(graph, layers[layers.size() - k], /*bias_trains=*/true, 0);
    costs.biases[k] = costs.biases[k - 1] +
                      bits(weights.mask * double(line.mask) + weights.bias * double(line.bias));
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    const TensorType& w = graph.value(layers[i].weight).type;
    for (size_t r = 0; r < kRatioCount; ++r) {
      const int64_t channels = count_of_part(kRatios[r], w.dim(input_channel_dimension(w)));
      const auto line = mcunetv3_line(graph, layers[i], /*bias_trains=*/false, channels);
      costs.weights[i][r] =
          bits(weights.input * double(line.input) + weights.weight * double(line.weight));
    }
  }
  return costs;
}

}  // namespace tinytl

#include "sparse_update/layers.h"

#include <algorithm>

#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

bool is_convolution(const OpDef& op) {
  return &op == &kConv2d || &op == &kDepthwiseConv2d || &op == &kQConv2d ||
         &op == &kQDepthwiseConv2d;
}

// `id`, or what it was made of: the parameter that trains in its place.
std::optional<ValueId> parameter_of(const Graph& graph, ValueId id) {
  while (graph.value(id).producer != kNoNode) {
    const Node& node = graph.node(graph.value(id).producer);
    if (node.inputs.size() != 1) return std::nullopt;
    id = node.input(0);
  }
  if (!is_parameter(graph.value(id).role)) return std::nullopt;
  return id;
}

}  // namespace

std::vector<Convolution> convolutions(const Graph& graph, std::span<const ValueId> classifier) {
  enum { kW = 1, kB };
  std::vector<Convolution> all;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (!is_convolution(*node.op)) continue;
    const auto weight = parameter_of(graph, node.input(kW));
    if (!weight.has_value() || std::ranges::find(classifier, *weight) != classifier.end()) continue;
    Convolution conv{NodeId{static_cast<uint32_t>(n)}, *weight, std::nullopt};
    if (node.inputs.size() > kB) conv.bias = parameter_of(graph, node.input(kB));
    all.push_back(conv);
  }
  return all;
}

}  // namespace tinytl

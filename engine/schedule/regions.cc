#include "engine/schedule/regions.h"

#include <algorithm>

#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

// y[i] depends on x[i] alone.
bool is_map(const Node& node) {
  static constexpr const OpDef* kMaps[] = {
      &kClip, &kLeakyRelu, &kAbs, &kHardSigmoid, &kHardSwish, &kSigmoid, &kSilu,
      &kGelu, &kTanh,      &kElu, &kSoftplus,    &kErf,       &kExp,     &kLog,
      &kSqrt, &kScale,     &kNeg, &kPow,         &kReciprocal};
  return node.inputs.size() == 1 && std::ranges::find(kMaps, node.op) != std::end(kMaps);
}

bool has_persistent_parameters(const Graph& graph, const Node& node) {
  return std::all_of(node.inputs.begin() + 1, node.inputs.end(),
                     [&](ValueId id) { return is_persistent(graph.value(id).role); });
}

// Each channel of the result depends on that channel of input 0 alone.
bool is_channelwise(const Graph& graph, const Node& node) {
  if (is_map(node)) return true;
  if (node.op == &kDepthwiseConv2d) return has_persistent_parameters(graph, node);
  if (node.op == &kAveragePool || node.op == &kMaxPool) return node.inputs.size() == 1;
  const bool is_affine = node.op == &kMul || node.op == &kAdd || node.op == &kSub;
  if (!is_affine || !has_persistent_parameters(graph, node)) return false;
  const TensorType& y = graph.value(node.output()).type;
  const TensorType& factor = graph.value(node.input(1)).type;
  const bool one_a_channel = factor.rank() > 0 && factor.elements() == factor.shape.back();
  return y == graph.value(node.input(0)).type && (factor.elements() == 1 || one_a_channel);
}

bool is_plain_convolution(const Graph& graph, const Node& node) {
  return node.op == &kConv2d && node.attributes.integer("groups") == 1 &&
         has_persistent_parameters(graph, node);
}

bool is_pointwise_convolution(const Graph& graph, const Node& node) {
  if (!is_plain_convolution(graph, node)) return false;
  const auto is = [](std::span<const int64_t> list, int64_t wanted) {
    return std::ranges::all_of(list, [&](int64_t v) { return v == wanted; });
  };
  const Shape& w = graph.value(node.input(1)).type.shape;
  return w[0] == 1 && w[1] == 1 && is(node.attributes.integers("strides"), 1) &&
         is(node.attributes.integers("pads"), 0);
}

// Every row of the result needs a few rows of the input, and none is padding alone.
bool is_local(const Graph& graph, const Node& node) {
  if (is_map(node)) return true;
  if (node.op != &kConv2d && node.op != &kDepthwiseConv2d) return false;
  const int64_t kernel = graph.value(node.input(1)).type.dim(0);
  const int64_t span = node.attributes.integers("dilations")[0] * (kernel - 1) + 1;
  const auto pads = node.attributes.integers("pads");
  return has_persistent_parameters(graph, node) && pads[0] < span && pads[2] < span;
}

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph), readers_(readers(graph)) {
    for (const ValueId id : graph.outputs) is_output_.push_back(id);
  }

  std::vector<Region> run() {
    std::vector<Region> result;
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const NodeId id{static_cast<uint32_t>(n)};
      add_channels(id, result);
      add_rows(id, result);
    }
    return result;
  }

 private:
  // The only reader of the node's result, which reads it as input 0; or none.
  NodeId next(NodeId id) const {
    const ValueId y = graph_.node(id).output();
    const auto& list = readers_[index(y)];
    if (list.size() != 1 || std::ranges::find(is_output_, y) != is_output_.end()) return kNoNode;
    const Node& reader = graph_.node(list[0]);
    const bool once = std::ranges::count(reader.inputs, y) == 1;
    return once && reader.input(0) == y ? list[0] : kNoNode;
  }

  size_t result_bytes(NodeId id) const {
    return graph_.value(graph_.node(id).output()).type.bytes();
  }

  void add_channels(NodeId first, std::vector<Region>& result) const {
    if (!is_plain_convolution(graph_, graph_.node(first))) return;
    Region region{.cut = Cut::kChannels, .nodes = {first}};
    region.extent = graph_.value(graph_.node(first).output()).type.shape.back();
    for (NodeId id = next(first); id != kNoNode; id = next(id)) {
      region.nodes.push_back(id);
      const Node& node = graph_.node(id);
      if (is_channelwise(graph_, node)) continue;
      if (is_pointwise_convolution(graph_, node)) result.push_back(region);
      return;
    }
  }

  void add_rows(NodeId first, std::vector<Region>& result) const {
    const Node& start = graph_.node(first);
    if (!is_local(graph_, start) || graph_.value(start.input(0)).role != Role::kInput) return;
    Region region{.cut = Cut::kRows, .nodes = {}};
    size_t largest = 0;
    for (NodeId id = first; id != kNoNode && is_local(graph_, graph_.node(id)); id = next(id)) {
      region.nodes.push_back(id);
      const TensorType& type = graph_.value(graph_.node(id).output()).type;
      if (type.rank() != 4) return;
      region.extent = type.dim(1);
      if (result_bytes(id) < largest) result.push_back(region);
      largest = std::max(largest, result_bytes(id));
    }
  }

  const Graph& graph_;
  const std::vector<std::vector<NodeId>> readers_;
  std::vector<ValueId> is_output_;
};

}  // namespace

std::vector<Region> find_regions(const Graph& graph) { return Finder(graph).run(); }

}  // namespace tinytl

#include "tinytl/methods/prune_width.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"
#include "tinytl/methods/find_blocks.h"

namespace tinytl {
namespace {

constexpr int64_t kMultiple = 8;

// From the expanding convolution to the projection, both included.
struct Expansion {
  std::vector<NodeId> nodes;  // in the order of the network
  NodeId depthwise = kNoNode;
  NodeId expand() const { return nodes.front(); }
  NodeId project() const { return nodes.back(); }
};

// The channels of a parameter: along this axis of it.
struct Slice {
  ValueId parameter{};
  size_t axis = 0;
};

struct Pruned {
  Expansion expansion;
  std::vector<Slice> slices;
  std::vector<int64_t> kept;  // rising
  int64_t channels = 0;       // before
};

std::shared_ptr<Tensor> select(const Tensor& from, size_t axis, std::span<const int64_t> kept) {
  TensorType type = from.type();
  const auto channels = static_cast<size_t>(type.shape.at(axis));
  type.shape[axis] = std::ssize(kept);
  size_t inner = 1;
  for (size_t d = axis + 1; d < type.rank(); ++d) inner *= static_cast<size_t>(type.shape[d]);
  auto result = std::make_shared<Tensor>(type);
  float* to = result->f32().data();
  for (size_t start = 0; start < from.f32().size(); start += channels * inner) {
    for (const int64_t c : kept) {
      to = std::copy_n(from.f32().data() + start + static_cast<size_t>(c) * inner, inner, to);
    }
  }
  return result;
}

class Pruner {
 public:
  Pruner(const Graph& graph, double width)
      : graph_(graph), width_(width), readers_(readers(graph)) {}

  Graph run(std::vector<ValueId>* new_ids) {
    size_t found = 0;
    for (const Block& block : find_blocks(graph_)) {
      const std::optional<Expansion> expansion = expansion_of(block);
      std::optional<Pruned> pruned;
      if (expansion.has_value()) pruned = choose(*expansion);
      if (!pruned.has_value()) continue;
      ++found;
      if (std::ssize(pruned->kept) < pruned->channels) blocks_.push_back(std::move(*pruned));
    }
    if (found == 0) {
      throw InputError(graph_.source +
                       ": has no inverted residual block (1x1, depthwise, linear 1x1) whose "
                       "expanded channels could be pruned; leave --width out");
    }
    return rewritten(new_ids);
  }

 private:
  const Shape& shape_of(ValueId id) const { return graph_.value(id).type.shape; }

  // Nothing but the next node reads it.
  bool is_private(ValueId id) const {
    return readers_[index(id)].size() == 1 &&
           std::ranges::find(graph_.outputs, id) == graph_.outputs.end();
  }

  // The operand of a node that is as wide as its result; the others are parameters.
  ValueId operand(const Node& node) const {
    const bool is_second =
        graph_.value(node.input(0)).role != Role::kActivation && node.inputs.size() > 1;
    return node.input(is_second ? 1 : 0);
  }

  std::optional<Expansion> expansion_of(const Block& block) const {
    if (block.kind != BlockKind::kInvertedResidual) return std::nullopt;
    Expansion found;
    ValueId at = block.output;
    while (graph_.node(graph_.value(at).producer).op != &kConv2d) {  // norms of the projection
      at = operand(graph_.node(graph_.value(at).producer));
    }
    found.nodes.push_back(graph_.value(at).producer);
    for (at = graph_.node(found.nodes[0]).input(0); is_private(at);) {
      const NodeId id = graph_.value(at).producer;
      if (id == kNoNode) return std::nullopt;
      const Node& node = graph_.node(id);
      found.nodes.push_back(id);
      if (node.op == &kDepthwiseConv2d) found.depthwise = id;
      if (node.op == &kConv2d) {
        const bool is_first = found.depthwise != kNoNode && node.input(0) == block.input;
        if (!is_first || node.outputs.size() > 1) return std::nullopt;
        std::ranges::reverse(found.nodes);
        return found;
      }
      at = operand(node);
    }
    return std::nullopt;
  }

  // The parameters that lose channels; empty where one of them serves other nodes too.
  std::vector<Slice> slices_of(const Expansion& expansion, int64_t channels) const {
    std::vector<Slice> slices;
    for (const NodeId id : expansion.nodes) {
      const Node& node = graph_.node(id);
      const ValueId x = operand(node);
      for (const ValueId input : node.inputs) {
        if (input == x) continue;
        const TensorType& type = graph_.value(input).type;
        const bool is_projection = id == expansion.project();
        if (is_projection && input != node.input(1)) continue;
        if (!is_projection && type.elements() == 1) continue;
        const size_t axis = is_projection ? 2 : type.rank() - 1;
        const bool fits = is_persistent(graph_.value(input).role) && type.rank() > axis &&
                          type.dtype == DType::kF32 && type.shape[axis] == channels &&
                          readers_[index(input)].size() == 1;
        if (!fits) return {};
        slices.push_back({input, axis});
      }
    }
    return slices;
  }

  std::optional<Pruned> choose(const Expansion& expansion) const {
    Pruned pruned;
    pruned.expansion = expansion;
    pruned.channels = shape_of(graph_.node(expansion.expand()).output()).back();
    pruned.slices = slices_of(expansion, pruned.channels);
    if (pruned.slices.empty()) return std::nullopt;
    int64_t group = 1;  // channels that stay or go together
    for (const NodeId id : expansion.nodes) {
      const Node& node = graph_.node(id);
      if (node.op != &kGroupNorm || id == expansion.project()) continue;
      group = std::lcm(group, pruned.channels / node.attributes.integer("groups"));
    }
    const int64_t multiple = std::lcm(kMultiple, group);
    const double wanted = width_ * static_cast<double>(pruned.channels);
    const int64_t count = std::min(
        pruned.channels,
        std::max<int64_t>(1, std::llround(wanted / static_cast<double>(multiple))) * multiple);
    std::vector<double> scores = importance(pruned);
    std::vector<int64_t> order(static_cast<size_t>(pruned.channels / group));
    std::vector<double> of_group(order.size(), 0);
    for (size_t c = 0; c < scores.size(); ++c) of_group[c / size_t(group)] += scores[c];
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, std::ranges::greater(),
                             [&](int64_t g) { return of_group[static_cast<size_t>(g)]; });
    order.resize(static_cast<size_t>(count / group));
    std::ranges::sort(order);
    for (const int64_t g : order) {
      for (int64_t c = g * group; c < (g + 1) * group; ++c) pruned.kept.push_back(c);
    }
    return pruned;
  }

  std::span<const float> values(NodeId node, size_t input) const {
    return graph_.value(graph_.node(node).input(input)).data->f32();
  }

  // The sums of |w| over all but the channels, which are every `inner` elements.
  static std::vector<double> l1(std::span<const float> w, size_t channels, size_t inner) {
    std::vector<double> sums(channels, 0);
    for (size_t i = 0; i < w.size(); ++i) sums[i / inner % channels] += std::abs(double{w[i]});
    return sums;
  }

  std::vector<double> importance(const Pruned& pruned) const {
    const Expansion& e = pruned.expansion;
    const auto channels = static_cast<size_t>(pruned.channels);
    const auto outputs = static_cast<size_t>(shape_of(graph_.node(e.project()).output()).back());
    std::vector<double> scores = l1(values(e.expand(), 1), channels, 1);
    const std::vector<double> depthwise = l1(values(e.depthwise, 1), channels, 1);
    const std::vector<double> project = l1(values(e.project(), 1), channels, outputs);
    for (size_t c = 0; c < channels; ++c) {
      const bool is_dead = constant_of(e, c).has_value();
      scores[c] = is_dead ? 0 : scores[c] * depthwise[c] * project[c];
    }
    return scores;
  }

  // What the projection reads of a channel, where it is the same for any input of the network. Only
  // of expand, clip, depthwise, clip, and where the projection has a bias to take it.
  std::optional<float> constant_of(const Expansion& e, size_t channel) const {
    const bool has_form = e.nodes.size() == 5 && e.nodes[2] == e.depthwise &&
                          graph_.node(e.nodes[1]).op == &kClip &&
                          graph_.node(e.nodes[3]).op == &kClip && has_foldable_bias(e.project());
    if (!has_form) return std::nullopt;
    const Attributes& in = graph_.node(e.nodes[1]).attributes;
    const Attributes& out = graph_.node(e.nodes[3]).attributes;
    // With 0, which stands around the border.
    const double low = std::min(0.0f, in.number("low")), high = std::max(0.0f, in.number("high"));
    const std::span<const float> w = values(e.depthwise, 1);
    const auto channels = static_cast<size_t>(shape_of(graph_.node(e.depthwise).output()).back());
    const bool has_bias = graph_.node(e.depthwise).inputs.size() == 3;
    double least = has_bias ? values(e.depthwise, 2)[channel] : 0.0, most = least;
    for (size_t i = channel; i < w.size(); i += channels) {
      if (w[i] == 0.0f) continue;  // 0 of no limit is 0
      least += std::min(w[i] * low, w[i] * high);
      most += std::max(w[i] * low, w[i] * high);
    }
    const auto clip = [&](double y) {
      return std::clamp(static_cast<float>(y), out.number("low"), out.number("high"));
    };
    return clip(least) == clip(most) ? std::optional(clip(least)) : std::nullopt;
  }

  bool has_foldable_bias(NodeId convolution) const {
    const Node& node = graph_.node(convolution);
    if (node.inputs.size() < 3) return false;
    const Value& bias = graph_.value(node.input(2));
    const bool has_pads =
        std::ranges::any_of(node.attributes.integers("pads"), [](int64_t pad) { return pad != 0; });
    return !has_pads && is_persistent(bias.role) && bias.type.dtype == DType::kF32 &&
           readers_[index(node.input(2))].size() == 1;
  }

  // The bias of the projection with the constants of the channels that go; null: it stays.
  std::shared_ptr<Tensor> folded_bias(const Pruned& pruned) const {
    const NodeId project = pruned.expansion.project();
    std::shared_ptr<Tensor> bias;
    for (int64_t c = 0; c < pruned.channels; ++c) {
      if (std::ranges::binary_search(pruned.kept, c)) continue;
      const std::optional<float> constant = constant_of(pruned.expansion, size_t(c));
      if (!constant.has_value() || *constant == 0.0f) continue;
      if (bias == nullptr) {
        const auto old = values(project, 2);
        bias = std::make_shared<Tensor>(TensorType{DType::kF32, {std::ssize(old)}});
        std::ranges::copy(old, bias->f32().begin());
      }
      const auto to = bias->f32();
      const float* row = values(project, 1).data() + static_cast<size_t>(c) * to.size();
      for (size_t o = 0; o < to.size(); ++o) to[o] += *constant * row[o];
    }
    return bias;
  }

  void replace(Graph& g, ValueId old, std::shared_ptr<Tensor> data) {
    Value& value = g.value(ids_[index(old)]);
    value.type = data->type();
    value.data = std::move(data);
  }

  Graph rewritten(std::vector<ValueId>* new_ids) {
    Graph g = without_nodes(graph_, ids_);
    std::vector<Attributes> attributes;
    for (const Node& node : graph_.nodes()) attributes.push_back(node.attributes);
    for (const Pruned& pruned : blocks_) {
      for (const Slice& s : pruned.slices) {
        replace(g, s.parameter, select(*graph_.value(s.parameter).data, s.axis, pruned.kept));
      }
      const Node& project = graph_.node(pruned.expansion.project());
      if (auto bias = folded_bias(pruned)) replace(g, project.input(2), std::move(bias));
      for (const NodeId id : pruned.expansion.nodes) {
        if (graph_.node(id).op != &kGroupNorm) continue;
        const int64_t groups = graph_.node(id).attributes.integer("groups");
        attributes[index(id)].set("groups", groups * std::ssize(pruned.kept) / pruned.channels);
      }
    }
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const Node& old = graph_.nodes()[n];
      Node node = old;
      node.attributes = attributes[n];
      for (ValueId& input : node.inputs) input = ids_[index(input)];
      const OutputTypes types = node.op->infer(node, types_of(g, node.inputs));
      const NodeId added = g.append(std::move(node), types);
      for (size_t j = 0; j < old.outputs.size(); ++j) {
        ids_[index(old.outputs[j])] = g.node(added).outputs[j];
        g.value(g.node(added).outputs[j]).name = graph_.value(old.outputs[j]).name;
      }
    }
    for (const ValueId id : graph_.outputs) g.outputs.push_back(ids_[index(id)]);
    if (new_ids != nullptr) *new_ids = std::move(ids_);
    return g;
  }

  const Graph& graph_;
  const double width_;
  const std::vector<std::vector<NodeId>> readers_;
  std::vector<Pruned> blocks_;
  std::vector<ValueId> ids_;
};

}  // namespace

Graph prune_width(const Graph& graph, double width, std::vector<ValueId>* ids) {
  if (!(width > 0 && width <= 1)) {
    throw InputError(graph.source + ": --width must be above 0 and at most 1");
  }
  if (width < 1) return Pruner(graph, width).run(ids);
  if (ids != nullptr) {
    ids->resize(graph.values().size());
    for (size_t v = 0; v < ids->size(); ++v) (*ids)[v] = ValueId{static_cast<uint32_t>(v)};
  }
  return graph;
}

}  // namespace tinytl

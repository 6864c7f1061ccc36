#include "tinytl/methods/find_classifier.h"

#include <algorithm>

#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

bool is_one_of(const Node& node, std::initializer_list<const OpDef*> ops) {
  return std::ranges::find(ops, node.op) != ops.end();
}

bool is_pointwise(const Graph& graph, const Node& node) {
  if (node.op != &kConv2d) return false;
  const Shape& w = graph.value(node.inputs[1]).type.shape;
  return w[0] == 1 && w[1] == 1 && node.attributes.integer("groups") == 1;
}

bool is_classifier(const Graph& graph, const Node& node) {
  return (node.op == &kLinear || is_pointwise(graph, node)) &&
         is_parameter(graph.value(node.inputs[1]).role);
}

bool is_softmax(const Node& node) { return is_one_of(node, {&kSoftmax, &kLogSoftmax}); }
bool is_sigmoid(const Node& node) { return is_one_of(node, {&kSigmoid, &kHardSigmoid}); }

bool is_activation(const Node& node) {
  return is_one_of(node,
                   {&kClip, &kLeakyRelu, &kHardSwish, &kSilu, &kGelu, &kTanh, &kElu, &kSoftplus}) ||
         is_sigmoid(node);
}

// All numbers of a sample lie along one dimension.
bool is_row(const TensorType& type) {
  const int64_t wide = type.elements() / std::max<int64_t>(type.dim(0), 1);
  return std::find(type.shape.begin() + 1, type.shape.end(), wide) != type.shape.end();
}

// False of a view that makes features of every (position, class).
bool keeps_classes(const Graph& graph, const Node& view) {
  const TensorType& in = graph.value(view.input(0)).type;
  const TensorType& out = graph.value(view.output()).type;
  if (in.rank() < 2 || out.rank() < 2) return false;
  return in.shape.back() == out.shape.back() || is_row(in);
}

// Arithmetic with one operand that is no constant: which one that is.
std::optional<ValueId> varying_operand(const Graph& graph, const Node& node) {
  std::optional<ValueId> found;
  for (const ValueId id : node.inputs) {
    if (is_persistent(graph.value(id).role)) continue;
    if (found.has_value()) return std::nullopt;
    found = id;
  }
  return found;
}

// What the node reads, where a score a class goes in and a score a class comes out.
std::optional<ValueId> scores_before(const Graph& graph, const Node& node) {
  if (is_one_of(node, {&kReduceMean, &kAveragePool, &kMaxPool, &kScale}) || is_softmax(node)) {
    return node.input(0);
  }
  if (node.op == &kReshape && keeps_classes(graph, node)) return node.input(0);
  if (is_one_of(node, {&kAdd, &kSub, &kMul, &kDiv})) return varying_operand(graph, node);
  return std::nullopt;
}

}  // namespace

NetworkEnd find_end(const Graph& graph, bool through_activations) {
  NetworkEnd end;
  bool only_views = true;
  NodeId at = graph.value(stored_output(graph)).producer;
  while (at != kNoNode) {
    const Node& node = graph.node(at);
    if (is_classifier(graph, node)) {
      end.classifier = at;
      return end;
    }
    if (is_softmax(node) || (is_sigmoid(node) && only_views)) {
      if (!end.probabilities.has_value()) end.probabilities = at;
    }
    only_views = only_views && node.op == &kReshape;
    std::optional<ValueId> before = scores_before(graph, node);
    const bool pass = through_activations || end.probabilities.has_value();
    if (is_activation(node) && pass) before = node.input(0);
    if (!before.has_value()) return end;
    at = graph.value(*before).producer;
  }
  return end;
}

NodeId named_classifier(const Graph& graph, const std::string& name) {
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (node.name == name && is_classifier(graph, node)) return NodeId{static_cast<uint32_t>(n)};
  }
  const std::string candidates = classifier_candidates(graph);
  throw InputError(
      graph.source + ": --head \"" + name +
      "\" is not the name of a Gemm, MatMul or 1x1 convolution with weights; " +
      (candidates.empty() ? "the network has none, leave --head out" : "try " + candidates));
}

std::string classifier_candidates(const Graph& graph) {
  constexpr int kMost = 3;
  std::string text;
  int count = 0;
  for (size_t n = graph.nodes().size(); n-- > 0 && count < kMost;) {
    const Node& node = graph.nodes()[n];
    if (!is_classifier(graph, node)) continue;
    text += (count++ == 0 ? "--head \"" : ", \"") + node.name + "\"";
  }
  return text;
}

ValueId stored_output(const Graph& graph) {
  const ValueId output = graph.outputs.at(0);
  const NodeId producer = graph.value(output).producer;
  if (producer == kNoNode || graph.node(producer).op != &kTranspose) return output;
  // Channels last to channels second: {0, n - 1, 1, 2, ...}.
  const auto perm = graph.node(producer).attributes.integers("perm");
  const auto rank = static_cast<int64_t>(perm.size());
  for (int64_t d = 0; d < rank; ++d) {
    const int64_t want = d == 0 ? 0 : d == 1 ? rank - 1 : d - 1;
    if (perm[static_cast<size_t>(d)] != want) return output;
  }
  return graph.node(producer).input(0);
}

}  // namespace tinytl

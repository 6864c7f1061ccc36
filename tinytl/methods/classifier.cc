#include "tinytl/methods/classifier.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"
#include "tinytl/data/random.h"

namespace tinytl {
namespace {

bool is_pointwise(const Graph& graph, const Node& node) {
  if (node.op != &kConv2d) return false;
  const Shape& w = graph.value(node.inputs[1]).type.shape;
  return w[0] == 1 && w[1] == 1 && node.attributes.integer("groups") == 1;
}

bool is_classifier(const Graph& graph, const Node& node) {
  return (node.op == &kLinear || is_pointwise(graph, node)) &&
         is_parameter(graph.value(node.inputs[1]).role);
}

// Keeps the order of the classes and does not make features of them.
bool may_follow_classifier(const Node& node) {
  return node.op == &kReshape || node.op == &kReduceMean || node.op == &kSoftmax ||
         node.op == &kLogSoftmax;
}

[[noreturn]] void fail(const Graph& graph, const std::string& message) {
  throw InputError(graph.source + ": " + message);
}

NodeId named_classifier(const Graph& graph, const std::string& name) {
  std::string candidates;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (!is_classifier(graph, node)) continue;
    if (node.name == name) return NodeId{static_cast<uint32_t>(n)};
    candidates = " (the last one that could be is \"" + node.name + "\")";
  }
  fail(graph, "--head \"" + name +
                  "\" is not the name of a Gemm, MatMul or 1x1 convolution with weights" +
                  candidates);
}

std::optional<NodeId> find_classifier(const Graph& graph, const std::string& name) {
  if (!name.empty()) return named_classifier(graph, name);
  NodeId at = graph.value(graph.outputs.at(0)).producer;
  while (at != kNoNode) {
    const Node& node = graph.node(at);
    if (is_classifier(graph, node)) return at;
    if (!may_follow_classifier(node)) return std::nullopt;
    at = graph.value(node.inputs[0]).producer;
  }
  return std::nullopt;
}

std::vector<ValueId> parameters_of(const Graph& graph, const Node& node) {
  std::vector<ValueId> result;
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    if (is_parameter(graph.value(node.inputs[i]).role)) result.push_back(node.inputs[i]);
  }
  return result;
}

std::shared_ptr<Tensor> new_weight(int64_t features, int64_t classes, uint64_t seed) {
  auto weight = std::make_shared<Tensor>(TensorType{DType::kF32, {features, classes}});
  const float bound = 1.0f / std::sqrt(static_cast<float>(features));
  Random random(seed, /*epoch=*/0, /*sample=*/0);
  for (float& w : weight->f32()) w = bound * static_cast<float>(random.uniform(-1, 1));
  return weight;
}

// [N,...,F] -> [N,F]: mean over positions, then the bare matrix.
ValueId as_features(Graph& graph, ValueId value) {
  const Shape shape = graph.value(value).type.shape;
  if (shape.size() < 2)
    fail(graph, "the output " + to_string(shape) + " is not a batch of features");
  if (shape.size() == 2) return value;
  std::vector<int64_t> axes;
  int64_t positions = 1;
  for (size_t d = 1; d + 1 < shape.size(); ++d) {
    axes.push_back(static_cast<int64_t>(d));
    positions *= shape[d];
  }
  if (positions > 1) {
    value = emit(graph, kReduceMean, "classifier.pool", {value},
                 {{"axes", axes}, {"keepdims", int64_t{0}}});
  }
  if (graph.value(value).type.rank() == 2) return value;
  return emit(graph, kReshape, "classifier.flatten", {value},
              {{"shape", Shape{shape.front(), shape.back()}}});
}

}  // namespace

FittedClassifier fit_classifier(const Graph& graph, int64_t classes,
                                const ClassifierOptions& options) {
  FittedClassifier result{.graph = graph, .parameters = {}, .is_new = false, .description = ""};
  const std::optional<NodeId> found = find_classifier(graph, options.head);
  ValueId features = graph.outputs.at(0);
  std::string replaced = "added to the network's features";
  if (found.has_value()) {
    const Node& node = graph.node(*found);
    const int64_t old_classes = graph.value(node.inputs[1]).type.shape.back();
    if (old_classes == classes && !options.replace) {
      result.graph = flatten_scores(graph);
      result.parameters = parameters_of(graph, node);
      result.description = node.name + ", kept (" + std::to_string(classes) + " classes)";
      return result;
    }
    features = node.inputs[0];
    replaced = "in place of " + node.name + " (" + std::to_string(old_classes) + " classes)";
  }
  Graph& g = result.graph;
  features = as_features(g, features);
  const int64_t width = g.value(features).type.dim(1);
  const ValueId weight = g.add_persistent("classifier.weight", Role::kWeight,
                                          new_weight(width, classes, options.seed));
  const ValueId bias = g.add_persistent(
      "classifier.bias", Role::kBias, std::make_shared<Tensor>(TensorType{DType::kF32, {classes}}));
  g.outputs = {emit(g, kLinear, "classifier", {features, weight, bias})};
  std::vector<ValueId> ids;
  g = prune(g, &ids);
  result.parameters = {ids[index(weight)], ids[index(bias)]};
  result.is_new = true;
  result.description =
      "new, " + std::to_string(width) + " -> " + std::to_string(classes) + ", " + replaced;
  return result;
}

Graph flatten_scores(Graph graph) {
  ValueId scores = graph.outputs.at(0);
  const Shape shape = graph.value(scores).type.shape;
  if (shape.size() <= 2) return graph;
  const int64_t classes = graph.value(scores).type.elements() / shape[0];
  if (std::ranges::find(shape.begin() + 1, shape.end(), classes) == shape.end()) return graph;
  const NodeId producer = graph.value(scores).producer;
  if (producer != kNoNode && graph.node(producer).op == &kSoftmax) {
    scores = graph.node(producer).input(0);
  }
  graph.outputs = {
      emit(graph, kReshape, "classifier.flatten", {scores}, {{"shape", Shape{shape[0], classes}}})};
  return graph;
}

FittedClassifier keep_classifier(const Graph& graph, const std::string& head) {
  FittedClassifier result{.graph = graph, .parameters = {}, .is_new = false, .description = "none"};
  const std::optional<NodeId> found = find_classifier(graph, head);
  if (found.has_value()) {
    result.parameters = parameters_of(graph, graph.node(*found));
    result.description = graph.node(*found).name + ", kept";
  }
  return result;
}

FittedClassifier with_dropout(const FittedClassifier& network, float rate) {
  TT_ASSERT(!network.parameters.empty());
  const Graph& graph = network.graph;
  FittedClassifier result{
      .graph = {}, .parameters = {}, .is_new = network.is_new, .description = network.description};
  result.graph.source = graph.source;
  // Rebuilt node by node, because the dropout has to stand before the classifier.
  std::vector<ValueId> ids(graph.values().size());
  for (size_t v = 0; v < ids.size(); ++v) {
    const Value& value = graph.values()[v];
    if (value.role == Role::kInput) ids[v] = result.graph.add_input(value.name, value.type);
    if (is_persistent(value.role)) {
      ids[v] = result.graph.add_persistent(value.name, value.role, value.data);
    }
  }
  result.graph.inputs.clear();
  for (const ValueId id : graph.inputs) result.graph.inputs.push_back(ids[index(id)]);
  const ValueId seed = result.graph.add_input("dropout_seed", {DType::kI32, {2}});
  for (const Node& node : graph.nodes()) {
    std::vector<ValueId> inputs;
    for (const ValueId id : node.inputs) inputs.push_back(ids[index(id)]);
    if (inputs.size() > 1 && node.inputs[1] == network.parameters[0]) {
      inputs[0] = emit(result.graph, kDropout, "dropout", {inputs[0], seed}, {{"rate", rate}});
    }
    const std::vector<ValueId> outputs =
        emit_all(result.graph, *node.op, node.name, inputs, node.attributes, node.phase);
    for (size_t j = 0; j < outputs.size(); ++j) ids[index(node.outputs[j])] = outputs[j];
  }
  for (const ValueId id : graph.outputs) result.graph.outputs.push_back(ids[index(id)]);
  for (const ValueId id : network.parameters) result.parameters.push_back(ids[index(id)]);
  return result;
}

}  // namespace tinytl

#include "tinytl/methods/classifier.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"
#include "tinytl/data/random.h"
#include "tinytl/methods/find_classifier.h"

namespace tinytl {
namespace {

[[noreturn]] void fail(const Graph& graph, const std::string& message) {
  throw InputError(graph.source + ": " + message);
}

// Where the classifier is, or goes.
struct Place {
  std::optional<NodeId> node;
  bool ends_network = false;  // its outputs are the scores
};

Place find_place(const Graph& graph, const std::string& head) {
  if (!head.empty()) {
    const NodeId named = named_classifier(graph, head);
    return {named, find_end(graph, /*through_activations=*/true).classifier == named};
  }
  const NetworkEnd end = find_end(graph);
  return {end.classifier, end.classifier.has_value()};
}

// A classifier on top of probabilities would learn, badly, and nobody would know.
void check_ends_in_features(const Graph& graph) {
  const std::optional<NodeId> end = find_end(graph).probabilities;
  if (!end.has_value()) return;
  const Node& node = graph.node(*end);
  const std::string candidates = classifier_candidates(graph);
  fail(graph, "ends in " + std::string(node.op->name) + " \"" + node.name +
                  "\", and the classifier before it cannot be told; " +
                  (candidates.empty() ? "give a network that ends in features or scores"
                                      : "name it, for example with " + candidates));
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

// [N,F] where all numbers of a sample lie along one dimension.
std::optional<Shape> one_row_a_sample(const TensorType& type) {
  if (type.rank() < 2 || type.dim(0) == 0) return std::nullopt;
  const int64_t width = type.elements() / type.dim(0);
  if (std::find(type.shape.begin() + 1, type.shape.end(), width) == type.shape.end()) {
    return std::nullopt;
  }
  return Shape{type.dim(0), width};
}

// The network without what only other outputs than the first need.
FittedClassifier keep(const Graph& graph, std::optional<NodeId> classifier) {
  FittedClassifier result{.graph = graph, .parameters = {}, .is_new = false, .description = "none"};
  result.graph.outputs = {graph.outputs.at(0)};
  std::vector<ValueId> ids;
  result.graph = prune(result.graph, &ids);
  if (!classifier.has_value()) return result;
  for (const ValueId id : parameters_of(graph, graph.node(*classifier))) {
    if (ids[index(id)] == ValueId{UINT32_MAX}) {
      fail(graph, "\"" + graph.node(*classifier).name +
                      "\" does not lead to the first output; name a layer that does with --head");
    }
    result.parameters.push_back(ids[index(id)]);
  }
  result.description = graph.node(*classifier).name + ", kept";
  return result;
}

// [N,F,1,1] or [N,...,F] -> [N,F]: mean over positions, then the bare matrix.
ValueId as_features(Graph& graph, ValueId value) {
  const Shape shape = graph.value(value).type.shape;
  if (shape.size() < 2) {
    fail(graph, "the output " + to_string(shape) +
                    " is not a batch of features; name the classifier with --head NAME");
  }
  if (shape.size() == 2) return value;
  if (const auto matrix = one_row_a_sample(graph.value(value).type)) {
    return emit(graph, kReshape, "classifier.flatten", {value}, {{"shape", *matrix}});
  }
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

// What a softmax or sigmoid at the end reads, with nothing but reshapes behind it.
ValueId raw_scores(const Graph& graph, ValueId output) {
  for (ValueId at = output; graph.value(at).producer != kNoNode;) {
    const Node& node = graph.node(graph.value(at).producer);
    if (node.op == &kSoftmax || node.op == &kSigmoid || node.op == &kHardSigmoid) {
      return node.input(0);
    }
    if (node.op != &kReshape) break;
    at = node.input(0);
  }
  return output;
}

}  // namespace

FittedClassifier fit_classifier(const Graph& graph, int64_t classes,
                                const ClassifierOptions& options) {
  const Place place = find_place(graph, options.head);
  ValueId features = stored_output(graph);
  std::string replaced = "added to the network's features";
  if (place.node.has_value()) {
    const Node& node = graph.node(*place.node);
    const int64_t old_classes = graph.value(node.inputs[1]).type.shape.back();
    if (old_classes == classes && place.ends_network && !options.replace) {
      FittedClassifier kept = keep(graph, place.node);
      kept.graph = flatten_scores(std::move(kept.graph));
      kept.description += " (" + std::to_string(classes) + " classes)";
      return kept;
    }
    features = node.inputs[0];
    replaced = "in place of " + node.name + " (" + std::to_string(old_classes) +
               (place.ends_network ? " classes)" : " outputs) and all behind it");
  } else {
    check_ends_in_features(graph);
  }
  FittedClassifier result{.graph = graph, .parameters = {}, .is_new = true, .description = ""};
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
  result.description =
      "new, " + std::to_string(width) + " -> " + std::to_string(classes) + ", " + replaced;
  return result;
}

Graph flatten_scores(Graph graph) {
  const ValueId output = graph.outputs.at(0);
  const auto matrix = one_row_a_sample(graph.value(output).type);
  if (!matrix.has_value()) return graph;
  ValueId scores = raw_scores(graph, output);
  if (one_row_a_sample(graph.value(scores).type) != matrix) scores = output;
  if (graph.value(scores).type.shape != *matrix) {
    scores = emit(graph, kReshape, "classifier.flatten", {scores}, {{"shape", *matrix}});
  }
  // A softmax that ends a matrix of scores stays: the loss leaves it out, an exported file has it.
  const NodeId last = graph.value(output).producer;
  const bool ends_in_softmax = last != kNoNode && graph.node(last).op == &kSoftmax;
  if (graph.value(output).type.rank() == 2 && ends_in_softmax) scores = output;
  graph.outputs = {scores};
  return graph;
}

FittedClassifier keep_classifier(const Graph& graph, const std::string& head) {
  return keep(graph, find_place(graph, head).node);
}

FittedClassifier with_dropout(const FittedClassifier& network, float rate) {
  TT_ASSERT(!network.parameters.empty());
  const Graph& graph = network.graph;
  FittedClassifier result = network;
  result.graph = {};
  result.graph.source = graph.source;
  // Rebuilt node by node, because the dropout has to stand before the classifier.
  std::vector<ValueId> ids(graph.values().size());
  for (size_t v = 0; v < ids.size(); ++v) {
    const Value& value = graph.values()[v];
    if (value.role == Role::kInput)
      ids[v] = result.graph.add_input(value.name, value.type, value.channels_last);
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
  for (ValueId& id : result.parameters) id = ids[index(id)];
  for (ValueId& id : result.lite) id = ids[index(id)];
  return result;
}

FittedClassifier with_batch_statistics(FittedClassifier network) {
  Graph& graph = network.graph;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    Node& node = graph.node(NodeId{static_cast<uint32_t>(n)});
    if (node.op != &kBatchNormInference) continue;
    node.op = &kBatchNorm;
    node.op->infer(node, types_of(graph, node.inputs));
  }
  return network;
}

}  // namespace tinytl

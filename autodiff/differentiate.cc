#include "autodiff/differentiate.h"

#include <algorithm>
#include <optional>

#include "autodiff/choose_saves.h"
#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"
#include "engine/ops/weight_channels.h"
#include "engine/schedule/fuse_accumulate.h"

namespace tinytl {
namespace {

using Gradients = std::vector<std::optional<ValueId>>;

// The values through which a trained parameter reaches something.
std::vector<bool> values_that_depend_on(const Graph& graph, const UpdateScheme& scheme) {
  std::vector<bool> depends(graph.values().size(), false);
  for (const TrainedParameter& p : scheme.parameters) depends[index(p.parameter)] = true;
  for (const Node& node : graph.nodes()) {
    const bool any = std::any_of(node.inputs.begin(), node.inputs.end(),
                                 [&](ValueId id) { return depends[index(id)]; });
    for (const ValueId id : node.outputs) depends[index(id)] = depends[index(id)] || any;
  }
  return depends;
}

// The values that lead to `end`.
std::vector<bool> values_that_reach(const Graph& graph, ValueId end) {
  std::vector<bool> reaches(graph.values().size(), false);
  reaches[index(end)] = true;
  for (size_t n = graph.nodes().size(); n-- > 0;) {
    const Node& node = graph.nodes()[n];
    const bool any = std::any_of(node.outputs.begin(), node.outputs.end(),
                                 [&](ValueId id) { return reaches[index(id)]; });
    if (!any) continue;
    for (const ValueId id : node.inputs) reaches[index(id)] = true;
  }
  return reaches;
}

void check_differentiable(const Graph& graph, const std::vector<bool>& wanted) {
  std::string missing;
  int count = 0;
  for (const Node& node : graph.nodes()) {
    if (node.op->vjp != nullptr) continue;
    const auto is_wanted = [&](ValueId id) { return wanted[index(id)]; };
    if (!std::any_of(node.inputs.begin(), node.inputs.end(), is_wanted)) continue;
    if (!std::any_of(node.outputs.begin(), node.outputs.end(), is_wanted)) continue;
    missing +=
        (count++ > 0 ? ", \"" : " \"") + node.name + "\" (" + std::string(node.op->name) + ")";
  }
  if (count > 0) {
    throw InputError(graph.source + ": no gradient is known for" + missing +
                     "; train only what comes after (for example --update last)");
  }
}

using Channels = std::vector<int64_t>;

// By value: the channels of a weight that its readers' gradient rules compute alone. Where another
// operator reads the weight too, its whole gradient is computed first.
std::vector<Channels> channels_of_rules(const Graph& graph, const UpdateScheme& scheme) {
  std::vector<Channels> channels(graph.values().size());
  for (const TrainedParameter& p : scheme.parameters) channels[index(p.parameter)] = p.channels;
  for (const Node& node : graph.nodes()) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (i != 1 || !node.op->slices_weight) channels[index(node.inputs[i])].clear();
    }
  }
  return channels;
}

// Walks the nodes backwards and asks each for the gradients of the inputs that want one.
class Sweep {
 public:
  Sweep(Graph& graph, std::vector<bool> wanted, const UpdateScheme& scheme)
      : graph_(graph), wanted_(std::move(wanted)), channels_(channels_of_rules(graph, scheme)) {
    gradients_.resize(graph.values().size());
  }

  void run(ValueId loss) {
    auto one = std::make_shared<Tensor>(TensorType{DType::kF32, {1}});
    one->f32()[0] = 1.0f;
    gradients_[index(loss)] = graph_.add_persistent("loss.gradient", Role::kConstant, one);
    for (size_t n = graph_.nodes().size(); n-- > 0;) visit(NodeId{static_cast<uint32_t>(n)});
  }

  // Of what trains of it.
  ValueId gradient_of(const TrainedParameter& p) {
    const ValueId gradient = gradients_[index(p.parameter)].value();
    if (p.channels.empty() || !channels_[index(p.parameter)].empty()) return gradient;
    const Value& w = graph_.value(p.parameter);
    return emit(
        graph_, kGather, w.name, {gradient},
        {{"axis", static_cast<int64_t>(input_channel_dimension(w.type))}, {"indices", p.channels}},
        Phase::kBackward);
  }

 private:
  void visit(NodeId id) {
    Gradients dy;
    bool any_dy = false;
    for (const ValueId output : graph_.node(id).outputs) {
      dy.push_back(gradients_[index(output)]);
      any_dy = any_dy || dy.back().has_value();
    }
    std::vector<bool> wants;
    std::vector<Channels> channels;
    bool any_wanted = false;
    for (const ValueId input : graph_.node(id).inputs) {
      wants.push_back(wanted_[index(input)]);
      channels.push_back(channels_[index(input)]);
      any_wanted = any_wanted || wants.back();
    }
    if (!any_dy || !any_wanted) return;
    GradBuilder builder(graph_, id, wants, dy, channels);
    graph_.node(id).op->vjp(builder);
    for (size_t i = 0; i < wants.size(); ++i) {
      if (!wants[i]) continue;
      TT_ASSERT(builder.gradients()[i].has_value());
      add(builder.node().inputs[i], *builder.gradients()[i]);
    }
  }

  // The one place where gradients of the same value meet.
  void add(ValueId value, ValueId gradient) {
    std::optional<ValueId>& sum = gradients_[index(value)];
    const std::string name = graph_.value(value).name;
    sum = sum.has_value() ? emit(graph_, kAdd, name, {*sum, gradient}, {}, Phase::kBackward)
                          : gradient;
  }

  Graph& graph_;
  std::vector<bool> wanted_;
  std::vector<Channels> channels_;  // by value
  Gradients gradients_;             // by value; values the sweep itself adds have none
};

// Appends the loss; fills in prediction, target and loss.
void append_loss(GradientGraph& result, const Loss& loss) {
  Graph& graph = result.graph;
  TT_ASSERT(!graph.outputs.empty());
  result.prediction = graph.outputs[0];
  if (loss.kind == Loss::Kind::kMeanSquaredError) {
    result.target = graph.add_input("target", graph.value(result.prediction).type);
    result.loss = emit(graph, kMeanSquaredError, "loss", {result.prediction, result.target});
    return;
  }
  result.prediction = class_scores(graph);
  check_output(graph, result.prediction, loss.kind);
  const int64_t samples = graph.value(result.prediction).type.dim(0);
  result.target = graph.add_input("labels", {DType::kI32, {samples}});
  result.loss = emit(graph, kSoftmaxCrossEntropy, "loss", {result.prediction, result.target},
                     {{"label_smoothing", loss.label_smoothing}});
}

void remap(GradientGraph& result, const std::vector<ValueId>& ids) {
  result.prediction = ids[index(result.prediction)];
  result.target = ids[index(result.target)];
  result.loss = ids[index(result.loss)];
  for (ParameterGradient& g : result.gradients) {
    g.parameter = ids[index(g.parameter)];
    g.gradient = ids[index(g.gradient)];
  }
}

}  // namespace

GradientGraph differentiate(const Graph& model, const Loss& loss, const UpdateScheme& scheme) {
  if (scheme.parameters.empty()) {
    throw InputError(model.source + ": the update scheme trains nothing");
  }
  GradientGraph result;
  result.graph = model;
  append_loss(result, loss);
  Graph& graph = result.graph;

  std::vector<bool> wanted = values_that_depend_on(graph, scheme);
  const std::vector<bool> useful = values_that_reach(graph, result.loss);
  for (size_t v = 0; v < wanted.size(); ++v) wanted[v] = wanted[v] && useful[v];
  for (const TrainedParameter& p : scheme.parameters) {
    if (!useful[index(p.parameter)]) {
      throw InputError(
          model.source + ": the output does not depend on parameter \"" +
          graph.value(p.parameter).name +
          "\", so it cannot be trained; try --update bias, --new-head, or --head NAME");
    }
  }
  check_differentiable(graph, wanted);

  Sweep sweep(graph, wanted, scheme);
  sweep.run(result.loss);
  graph.outputs = {result.loss, result.prediction};
  for (const TrainedParameter& p : scheme.parameters) {
    TT_ASSERT(p.channels.empty() || are_input_channels(graph.value(p.parameter).type, p.channels));
    result.gradients.push_back({p.parameter, sweep.gradient_of(p), p.group, p.channels});
  }
  const auto computed_first = [&](const ParameterGradient& a, const ParameterGradient& b) {
    return graph.value(a.gradient).producer < graph.value(b.gradient).producer;
  };
  std::stable_sort(result.gradients.begin(), result.gradients.end(), computed_first);

  prefer_kept_values_to_masks(graph);
  // Gradients are outputs only for as long as the rewrites must not take them for unread.
  const std::vector<ValueId> outputs = graph.outputs;
  for (const ParameterGradient& g : result.gradients) graph.outputs.push_back(g.gradient);
  fuse_accumulate(graph);
  std::vector<ValueId> ids;
  graph = prune(graph, &ids);
  remap(result, ids);
  graph.outputs.resize(outputs.size());
  return result;
}

ValueId class_scores(const Graph& graph) {
  const ValueId output = graph.outputs.at(0);
  const NodeId producer = graph.value(output).producer;
  if (producer == kNoNode || graph.node(producer).op != &kSoftmax) return output;
  return graph.node(producer).input(0);
}

void check_output(const Graph& graph, ValueId output, Loss::Kind loss) {
  const TensorType& type = graph.value(output).type;
  if (loss == Loss::Kind::kSoftmaxCrossEntropy && type.rank() != 2) {
    throw InputError(graph.source + ": the network's output " + to_string(type) +
                     " is not [batch, classes]; a softmax cross-entropy loss needs class scores: "
                     "put a classifier on its pooled features with --new-head");
  }
  const auto rows_in = [](const TensorType& t) { return t.rank() == 0 ? 1 : t.dim(0); };
  const int64_t batch = rows_in(graph.value(graph.inputs.at(0)).type), rows = rows_in(type);
  if (rows == batch) return;
  throw InputError(graph.source + ": the output has " + std::to_string(rows) +
                   " rows for a batch of " + std::to_string(batch) +
                   "; export the network with one row of scores a sample, or name a layer that has "
                   "one with --head NAME --new-head");
}

std::vector<ValueId> saved_values(const Graph& graph) {
  std::vector<bool> saved(graph.values().size(), false);
  const auto is_forward = [&](ValueId id) {
    const Value& value = graph.value(id);
    return value.producer != kNoNode && graph.node(value.producer).phase == Phase::kForward;
  };
  for (const Node& node : graph.nodes()) {
    if (node.phase == Phase::kForward) continue;
    const bool condenses = condenses_forward_values(graph, node);
    for (const ValueId id : condenses ? node.outputs : node.inputs) {
      saved[index(id)] = saved[index(id)] || condenses || is_forward(id);
    }
  }
  std::vector<ValueId> result;
  for (size_t v = 0; v < saved.size(); ++v) {
    if (saved[v]) result.push_back(ValueId{static_cast<uint32_t>(v)});
  }
  return result;
}

}  // namespace tinytl

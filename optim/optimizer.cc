#include "optim/optimizer.h"

#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

class Updates {
 public:
  Updates(GradientGraph gradients, const OptimizerOptions& options) : options_(options) {
    result_.graph = std::move(gradients.graph);
    result_.prediction = gradients.prediction;
    result_.target = gradients.target;
    result_.loss = gradients.loss;
    result_.trained = std::move(gradients.gradients);
    result_.accumulation_steps = options.accumulation_steps;
    result_.beta1 = options.beta1;
    result_.beta2 = options.beta2;
  }

  TrainingGraph run() {
    if (options_.accumulation_steps > 1) accumulate();
    one_ = add_number("one", 1.0f);
    const ValueId scale = options_.clip_norm > 0 ? clip() : one_;
    if (options_.kind != OptimizerOptions::Kind::kSgd) {
      result_.adam_correction = graph().add_input("adam_correction", {DType::kF32, {2}});
    }
    for (const ParameterGradient& p : result_.trained) update(p, scale);
    if (options_.accumulation_steps > 1) {
      for (const ParameterGradient& p : result_.trained) append(kClear, p, {p.gradient}, {});
    }
    return std::move(result_);
  }

 private:
  Graph& graph() { return result_.graph; }
  std::string name_of_parameter(const ParameterGradient& p) {
    return graph().value(p.parameter).name;
  }

  ValueId add_number(std::string name, float number) {
    return graph().add_persistent(std::move(name), Role::kConstant,
                                  make_tensor({1}, std::span(&number, 1)));
  }

  ValueId add_state(const ParameterGradient& p, const char* kind) {
    return add_state(p, kind, graph().value(p.gradient).type);
  }

  ValueId add_state(const ParameterGradient& p, const char* kind, const TensorType& type) {
    return graph().add_state(name_of_parameter(p) + "." + kind, type);
  }

  // An update of those channels of the parameter that train.
  void append_update(const OpDef& op, const ParameterGradient& p, std::vector<ValueId> inputs,
                     Attributes attributes) {
    if (!p.channels.empty()) attributes.set("channels", p.channels);
    append(op, p, std::move(inputs), std::move(attributes));
  }

  void append(const OpDef& op, const ParameterGradient& p, std::vector<ValueId> inputs,
              Attributes attributes, Phase phase = Phase::kUpdate) {
    emit_all(graph(), op, name_of_parameter(p), std::move(inputs), std::move(attributes), phase);
  }

  // Replaces every gradient by a running sum.
  void accumulate() {
    const float factor = 1.0f / static_cast<float>(options_.accumulation_steps);
    for (ParameterGradient& p : result_.trained) {
      const ValueId sum = add_state(p, "gradient_sum");
      append(kAccumulate, p, {sum, p.gradient}, {{"factor", factor}}, Phase::kBackward);
      p.gradient = sum;
    }
  }

  ValueId clip() {
    std::vector<ValueId> gradients;
    for (const ParameterGradient& p : result_.trained) gradients.push_back(p.gradient);
    return emit(graph(), kGradientScale, "clip_norm", gradients, {{"max_norm", options_.clip_norm}},
                Phase::kUpdate);
  }

  ValueId rate(Group group) {
    const auto found = result_.learning_rate.find(group);
    if (found != result_.learning_rate.end()) return found->second;
    const char* name = group == Group::kHead   ? "learning_rate.head"
                       : group == Group::kLite ? "learning_rate.lite"
                                               : "learning_rate";
    return result_.learning_rate[group] = graph().add_input(name, {DType::kF32, {1}});
  }

  void update(const ParameterGradient& p, ValueId scale) {
    std::vector<ValueId> inputs{p.parameter, p.gradient, rate(p.group), scale};
    if (graph().value(p.parameter).type.dtype != DType::kF32) return step_integers(p, inputs);
    if (options_.kind == OptimizerOptions::Kind::kSgd) {
      if (options_.momentum != 0) inputs.push_back(add_state(p, "velocity"));
      append_update(kSgdUpdate, p, inputs,
                    {{"momentum", options_.momentum},
                     {"nesterov", int64_t{options_.nesterov}},
                     {"weight_decay", options_.weight_decay}});
      return;
    }
    adam(p, std::move(inputs));
  }

  void step_integers(const ParameterGradient& p, std::vector<ValueId> inputs) {
    TT_ASSERT(options_.kind == OptimizerOptions::Kind::kSgd && options_.momentum == 0 &&
              options_.weight_decay == 0);
    Attributes attributes{{"qas", int64_t{options_.qas}},
                          {"stochastic", int64_t{options_.stochastic_rounding}}};
    if (graph().value(p.parameter).type.dtype == DType::kQ8) {
      append_update(kQSgdUpdate, p, std::move(inputs), std::move(attributes));
      return;
    }
    const Node& layer = reader_of(p.parameter);
    inputs.push_back(layer.input(1));
    attributes.set("x_scale", layer.attributes.number("x_scale"));
    append(kQBiasSgdUpdate, p, std::move(inputs), std::move(attributes));
  }

  // The layer of a bias, whose weights and input give its scale.
  const Node& reader_of(ValueId bias) {
    for (const Node& node : graph().nodes()) {
      if (node.inputs.size() == 3 && node.input(2) == bias) return node;
    }
    TT_ASSERT(!"a bias has a layer");
    return graph().nodes().front();
  }

  void adam(const ParameterGradient& p, std::vector<ValueId> inputs) {
    using Kind = OptimizerOptions::Kind;
    const bool has_8_bits = options_.kind == Kind::kAdam8bit || options_.kind == Kind::kAdamW8bit;
    const bool decoupled = options_.kind == Kind::kAdamW || options_.kind == Kind::kAdamW8bit;
    if (has_8_bits) {
      const TensorType type = graph().value(p.gradient).type;
      const int64_t blocks = (type.elements() + TT_ADAM8_BLOCK - 1) / TT_ADAM8_BLOCK;
      for (const char* kind : {"m", "v"})
        inputs.push_back(add_state(p, kind, {DType::kI8, type.shape}));
      for (const char* kind : {"m_scale", "v_scale"}) {
        inputs.push_back(add_state(p, kind, {DType::kF32, {blocks}}));
      }
    } else {
      for (const char* kind : {"m", "v"}) inputs.push_back(add_state(p, kind));
    }
    inputs.push_back(*result_.adam_correction);
    append_update(has_8_bits ? kAdam8Update : kAdamUpdate, p, std::move(inputs),
                  {{"beta1", options_.beta1},
                   {"beta2", options_.beta2},
                   {"epsilon", options_.epsilon},
                   {"decoupled", int64_t{decoupled}},
                   {"weight_decay", options_.weight_decay}});
  }

  const OptimizerOptions& options_;
  TrainingGraph result_;
  ValueId one_{};
};

}  // namespace

void replace_graph(TrainingGraph& training, Graph graph, std::span<const ValueId> ids) {
  const auto move = [&](ValueId& id) { id = ids[index(id)]; };
  move(training.prediction);
  move(training.target);
  move(training.loss);
  for (ParameterGradient& p : training.trained) {
    move(p.parameter);
    move(p.gradient);
  }
  for (auto& [group, id] : training.learning_rate) move(id);
  if (training.adam_correction.has_value()) move(*training.adam_correction);
  training.graph = std::move(graph);
}

TrainingGraph append_updates(GradientGraph gradients, const OptimizerOptions& options) {
  return Updates(std::move(gradients), options).run();
}

}  // namespace tinytl

#include "tinytl/train/session.h"

#include <algorithm>
#include <cmath>

namespace tinytl {
namespace {

std::optional<ValueId> find_input(const Graph& graph, std::string_view name) {
  for (const ValueId id : graph.inputs) {
    if (graph.value(id).name == name) return id;
  }
  return std::nullopt;
}

// The target of a mean squared error is the input itself.
void check_reproduces_input(const Graph& graph, const TrainingGraph& training, const Loss& loss) {
  if (loss.kind != Loss::Kind::kMeanSquaredError) return;
  const TensorType& in = graph.value(graph.inputs.at(0)).type;
  const TensorType& out = graph.value(training.prediction).type;
  if (in == out) return;
  throw InputError(graph.source + ": its output is " + to_string(out) + ", its input " +
                   to_string(in) + "; --loss mse needs a network that reproduces its input");
}

int64_t largest(std::span<const float> scores) {
  return std::max_element(scores.begin(), scores.end()) - scores.begin();
}

}  // namespace

Session::Session(TrainingGraph training, Graph inference, const Loss& loss)
    : loss_(loss), training_(std::move(training)) {
  const tt_kernels* kernels = tt_best_kernels();
  Graph graph = std::move(training_.graph);
  check_reproduces_input(graph, training_, loss);
  check_output(graph, training_.prediction, loss.kind);
  dropout_seed_ = find_input(graph, "dropout_seed");
  Program step =
      compile(std::move(graph), *kernels, {.updates_last = training_.accumulation_steps > 1});
  Program forward = inference_program(std::move(inference), loss.kind, *kernels);
  memory_ = report_memory(training_, step, forward);
  arena_ = std::make_shared<Arena>(memory_.arena);
  step_ = std::make_unique<Executor>(std::move(step), ExecutorOptions{kernels, arena_});
  inference_ = std::make_unique<Inference>(std::move(forward), loss.kind, arena_);
}

const TensorType& Session::input_type() const {
  return step_->graph().value(step_->graph().inputs.at(0)).type;
}

int64_t Session::classes() const {
  if (loss_.kind != Loss::Kind::kSoftmaxCrossEntropy) return 0;
  return step_->graph().value(training_.prediction).type.dim(1);
}

StepResult Session::train_step(const Batch& batch, const Normalisation& normalisation,
                               const LearningRates& rates, uint64_t dropout_seed) noexcept {
  Executor& step = *step_;
  to_float(batch, normalisation, step.f32(step.graph().inputs[0]).data());
  if (loss_.kind == Loss::Kind::kSoftmaxCrossEntropy) {
    std::copy(batch.labels.begin(), batch.labels.end(), step.i32(training_.target).begin());
  } else {
    to_float(batch, normalisation, step.f32(training_.target).data());
  }
  for (const auto& [group, id] : training_.learning_rate) {
    step.f32(id)[0] = static_cast<float>(group == Group::kHead ? rates.head : rates.backbone);
  }
  if (training_.adam_correction.has_value()) {
    const auto t = static_cast<double>(updates + 1);
    step.f32(*training_.adam_correction)[0] = static_cast<float>(1 - std::pow(training_.beta1, t));
    step.f32(*training_.adam_correction)[1] = static_cast<float>(1 - std::pow(training_.beta2, t));
  }
  if (dropout_seed_.has_value()) {
    step.i32(*dropout_seed_)[0] = static_cast<int32_t>(dropout_seed >> 32);
    step.i32(*dropout_seed_)[1] = static_cast<int32_t>(dropout_seed & 0xffffffffu);
  }
  const bool apply = ++pending_micro_batches >= training_.accumulation_steps;
  step.step(apply);
  if (apply) {
    pending_micro_batches = 0;
    ++updates;
  }

  StepResult result{.loss = step.f32(training_.loss)[0], .correct = 0};
  if (loss_.kind == Loss::Kind::kSoftmaxCrossEntropy) {
    const auto scores = step.f32(training_.prediction);
    const auto columns = static_cast<size_t>(classes());
    for (size_t n = 0; n < batch.labels.size(); ++n) {
      result.correct += largest(scores.subspan(n * columns, columns)) == batch.labels[n];
    }
  }
  return result;
}

std::vector<Value> Session::trained() const {
  std::vector<Value> result;
  for (const ParameterGradient& p : training_.trained) {
    result.push_back(step_->graph().value(p.parameter));
  }
  return result;
}

std::vector<Group> Session::trained_groups() const {
  std::vector<Group> groups;
  for (const auto& [group, rate] : training_.learning_rate) groups.push_back(group);
  return groups;
}

std::vector<Value> Session::state() const {
  std::vector<Value> result;
  for (const Value& value : step_->graph().values()) {
    if (value.role == Role::kState) result.push_back(value);
  }
  return result;
}

}  // namespace tinytl

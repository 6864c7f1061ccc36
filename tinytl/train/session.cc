#include "tinytl/train/session.h"

#include <algorithm>
#include <cmath>

#include "engine/ops/dropout.h"
#include "engine/ops/op_table.h"

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
  if (in.shape == out.shape) return;
  throw InputError(graph.source + ": its output is " + to_string(out) + ", its input " +
                   to_string(in) + "; --loss mse needs a network that reproduces its input");
}

// Of the dropout layer; 0 without one.
int64_t dropped_elements(const Graph& graph) {
  for (const Node& node : graph.nodes()) {
    if (node.op == &kDropout) return graph.value(node.output()).type.elements();
  }
  return 0;
}

int64_t largest(std::span<const float> scores) {
  return std::max_element(scores.begin(), scores.end()) - scores.begin();
}

}  // namespace

Session::Session(TrainingGraph training, Graph inference, const Loss& loss,
                 const SessionOptions& options)
    : loss_(loss), micro_batches_(options.micro_batches), training_(std::move(training)) {
  TT_ASSERT(micro_batches_ > 0 && training_.accumulation_steps % micro_batches_ == 0);
  const tt_kernels* kernels = tt_best_kernels();
  Graph graph = std::move(training_.graph);
  check_reproduces_input(graph, training_, loss);
  check_output(graph, training_.prediction, loss.kind);
  dropout_seed_ = find_input(graph, "dropout_seed");
  dropout_elements_ = dropped_elements(graph);
  Program step =
      compile(std::move(graph), *kernels,
              {.updates_last = training_.accumulation_steps > 1, .threads = options.threads});
  Program forward =
      inference_program(std::move(inference), loss.kind, *kernels, {.threads = options.threads});
  memory_ = report_memory(training_, step, forward);
  arena_ = std::make_shared<Arena>(memory_.arena);
  threads_ = std::make_shared<ThreadPool>(options.threads);
  step_ = std::make_unique<Executor>(std::move(step), ExecutorOptions{kernels, arena_, threads_});
  note_values(step_->graph());
  XnnpackLayers xnnpack;
  const bool use_xnnpack = options.xnnpack_within.has_value();
  if (use_xnnpack) xnnpack.add(*step_);
  inference_ = std::make_unique<Inference>(std::move(forward), loss.kind, arena_,
                                           use_xnnpack ? &xnnpack : nullptr, threads_);
  if (use_xnnpack && *options.xnnpack_within > memory_.training_memory()) {
    memory_.xnnpack =
        xnnpack.choose({.most_bytes = *options.xnnpack_within - memory_.training_memory()});
    memory_.frozen += memory_.xnnpack;
  }
  labels_.reserve(static_cast<size_t>(micro_batch_size()));
}

// What is asked of the graph after forget_plan().
void Session::note_values(const Graph& graph) {
  input_.emplace(graph);
  if (loss_.kind == Loss::Kind::kSoftmaxCrossEntropy) {
    classes_ = graph.value(training_.prediction).type.dim(1);
  }
  for (const ParameterGradient& p : training_.trained) {
    trained_.push_back(graph.value(p.parameter));
  }
  learnt_ = trained_;
  for (const Value& value : graph.values()) {
    if (value.role == Role::kStatistic) learnt_.push_back(value);
    if (value.role == Role::kState) state_.push_back(value);
  }
}

void Session::load(const Batch& batch, const Normalisation& normalisation) noexcept {
  const Executor& step = *step_;
  input_->write(batch, normalisation, step);
  labels_.assign(batch.labels.begin(), batch.labels.end());
  if (loss_.kind == Loss::Kind::kSoftmaxCrossEntropy) {
    std::copy(labels_.begin(), labels_.end(), step.i32(training_.target).begin());
  } else {
    to_float(batch, normalisation, step.f32(training_.target).data());
  }
}

void Session::write_inputs(const LearningRates& rates, uint64_t dropout_seed,
                           int64_t part) noexcept {
  const Executor& step = *step_;
  for (const auto& [group, id] : training_.learning_rate) {
    step.f32(id)[0] = static_cast<float>(rates.of(group));
  }
  if (training_.adam_correction.has_value()) {
    const auto t = static_cast<double>(updates + 1);
    step.f32(*training_.adam_correction)[0] = static_cast<float>(1 - std::pow(training_.beta1, t));
    step.f32(*training_.adam_correction)[1] = static_cast<float>(1 - std::pow(training_.beta2, t));
  }
  if (dropout_seed_.has_value()) {
    const uint64_t seed = dropout_seed_from(dropout_seed, part * dropout_elements_);
    step.i32(*dropout_seed_)[0] = static_cast<int32_t>(seed >> 32);
    step.i32(*dropout_seed_)[1] = static_cast<int32_t>(seed & 0xffffffffu);
  }
}

void Session::run_nodes(int64_t part, bool apply) noexcept {
  if (times_ == nullptr) return step_->step(apply);
  step_->step_timed(apply, times_->begin_part(part));
  times_->end_part(part, apply);
}

StepResult Session::run(const LearningRates& rates, uint64_t dropout_seed, int64_t part) noexcept {
  write_inputs(rates, dropout_seed, part);
  const bool apply = ++pending_micro_batches >= training_.accumulation_steps;
  run_nodes(part, apply);
  if (apply) {
    pending_micro_batches = 0;
    ++updates;
  }
  return {.loss = step_->f32(training_.loss)[0], .correct = count_correct()};
}

StepResult Session::train_step(const Batch& batch, const Normalisation& normalisation,
                               const LearningRates& rates, uint64_t dropout_seed) noexcept {
  load(batch, normalisation);
  return run(rates, dropout_seed, /*part=*/0);
}

int64_t Session::count_correct() const noexcept {
  if (loss_.kind != Loss::Kind::kSoftmaxCrossEntropy) return 0;
  const std::span<const float> scores = step_->f32(training_.prediction);
  const auto columns = static_cast<size_t>(classes());
  int64_t correct = 0;
  for (size_t n = 0; n < labels_.size(); ++n) {
    correct += largest(scores.subspan(n * columns, columns)) == labels_[n];
  }
  return correct;
}

std::vector<Group> Session::trained_groups() const {
  std::vector<Group> groups;
  for (const auto& [group, rate] : training_.learning_rate) groups.push_back(group);
  return groups;
}

}  // namespace tinytl

#include "tests/golden/fixed_batch.h"

#include <algorithm>
#include <cmath>

#include "autodiff/save_ranges.h"
#include "engine/runtime/executor.h"
#include "tinytl/methods/classifier.h"

namespace tinytl {
namespace {

// Training overwrites parameters in place: the next training must not see it.
Graph with_own_parameters(Graph graph) {
  for (size_t v = 0; v < graph.values().size(); ++v) {
    Value& value = graph.value(ValueId{static_cast<uint32_t>(v)});
    if (value.data == nullptr) continue;
    auto copy = std::make_shared<Tensor>(value.type);
    std::copy_n(value.data->bytes().data(), value.type.bytes(), copy->bytes().data());
    value.data = std::move(copy);
  }
  return graph;
}

GradientGraph differentiate(const FixedBatch& batch, Update update) {
  const Graph model = with_own_parameters(batch.model);
  const FittedClassifier head = keep_classifier(model, /*head=*/"");
  return differentiate(model, batch.loss, make_scheme(model, update, head.parameters));
}

void write_batch(const Executor& executor, const FixedBatch& batch, ValueId target) {
  const auto x = executor.f32(executor.graph().inputs.at(0));
  TT_ASSERT(x.size() == batch.input.size());
  std::copy(batch.input.begin(), batch.input.end(), x.begin());
  if (batch.loss.kind == Loss::Kind::kMeanSquaredError) {
    std::copy(batch.input.begin(), batch.input.end(), executor.f32(target).begin());
  } else {
    std::copy(batch.labels.begin(), batch.labels.end(), executor.i32(target).begin());
  }
}

std::vector<float> copy_of(std::span<const float> values) { return {values.begin(), values.end()}; }

}  // namespace

BatchGradients compute_gradients(const FixedBatch& batch, Update update, const tt_kernels& kernels,
                                 int saved_bits) {
  GradientGraph g = differentiate(batch, update);
  if (saved_bits < 32) save_in_ranges(g.graph, saved_bits);
  for (const ParameterGradient& p : g.gradients) g.graph.outputs.push_back(p.gradient);
  Executor executor(g.graph, {.kernels = &kernels, .arena = nullptr});
  write_batch(executor, batch, g.target);
  executor.step();
  BatchGradients result;
  result.prediction = copy_of(executor.f32(g.prediction));
  result.loss = executor.f32(g.loss)[0];
  for (const ParameterGradient& p : g.gradients) {
    result.gradients[g.graph.value(p.parameter).name] = copy_of(executor.f32(p.gradient));
  }
  return result;
}

std::vector<float> train_losses(const FixedBatch& batch, Update update,
                                const OptimizerOptions& optimizer, float rate, int steps,
                                const tt_kernels& kernels) {
  const TrainingGraph training = append_updates(differentiate(batch, update), optimizer);
  Executor executor(training.graph, {.kernels = &kernels, .arena = nullptr});
  std::vector<float> losses;
  for (int t = 1; t <= steps; ++t) {
    write_batch(executor, batch, training.target);
    for (const auto& [group, input] : training.learning_rate) executor.f32(input)[0] = rate;
    if (training.adam_correction.has_value()) {
      const auto correction = executor.f32(*training.adam_correction);
      correction[0] = static_cast<float>(1.0 - std::pow(double{optimizer.beta1}, t));
      correction[1] = static_cast<float>(1.0 - std::pow(double{optimizer.beta2}, t));
    }
    executor.step();
    losses.push_back(executor.f32(training.loss)[0]);
  }
  return losses;
}

double relative_error(const std::vector<float>& got, const std::vector<double>& want) {
  TT_ASSERT(got.size() == want.size());
  double error = 0, norm = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  return std::sqrt(norm > 0 ? error / norm : error);
}

}  // namespace tinytl

#include "sparse_update/gradient_statistics.h"

#include <algorithm>
#include <cmath>

#include "engine/ops/axis.h"
#include "engine/ops/op_table.h"
#include "engine/ops/weight_channels.h"
#include "optim/optimizer.h"
#include "sparse_update/resolve.h"

namespace tinytl {
namespace {

constexpr int kSamplesAnUpdate = 8;
constexpr float kBeta1 = 0.9f, kBeta2 = 0.999f;
constexpr double kMeanPenalty = 0.25;  // any between 0.1 and 1 ranks about as well

// Of one parameter, by element.
struct Sums {
  ValueId gradient;
  std::vector<double> squares, sum;

  double of(Estimate estimate, size_t element, double samples) const {
    if (estimate == Estimate::kFisher) return squares[element] / samples;
    return sum[element] / samples * (sum[element] / samples);
  }
};

// What the mean of a layer's input puts into the gradient of its weight: the gradient of the bias
// times that mean. The bias learns it by itself.
struct MeanPart {
  ValueId input_mean;             // of a sample, by channel
  std::vector<double> means;      // summed over samples
  std::vector<double> with_bias;  // by element of the weight: its gradient times that of the bias
  int64_t group_inputs, group_outputs;

  size_t output(size_t element, size_t outputs) const { return element % outputs; }
  size_t input(size_t element, size_t outputs) const {
    if (group_outputs == 0) return element % outputs;  // depthwise
    const auto o = static_cast<int64_t>(element % outputs);
    const auto j = static_cast<int64_t>(element / outputs) % group_inputs;
    return static_cast<size_t>(o / group_outputs * group_inputs + j);
  }
};

// What the forward node that multiplies by the weight `name` multiplies: its input in front of
// that.
ValueId input_beside(const Graph& graph, const std::string& name) {
  for (const Node& node : graph.nodes()) {
    for (size_t i = 1; i < node.inputs.size() && node.phase == Phase::kForward; ++i) {
      if (graph.value(node.input(i)).name == name) return node.input(i - 1);
    }
  }
  TT_ASSERT(!"a convolution has an input");
  return graph.inputs.front();
}

}  // namespace

struct GradientStatistics::Impl {
  std::vector<Convolution> layers;
  std::vector<std::shared_ptr<Tensor>> weights;  // of `layers`
  std::vector<Sums> of_weight;                   // of `layers`
  std::vector<std::optional<Sums>> of_bias;      // of `layers`
  std::vector<std::optional<MeanPart>> of_mean;  // of `layers`, those with a bias
  std::vector<ValueId> classifier_rates;
  ValueId input, label;
  std::optional<ValueId> correction;
  std::optional<Executor> executor;
  int64_t updates = 0, pending = 0, measured = 0;

  void run(bool apply, float rate) {
    for (const ValueId id : classifier_rates) executor->f32(id)[0] = rate;
    if (correction.has_value()) {
      const auto t = double(updates + 1);
      executor->f32(*correction)[0] = static_cast<float>(1 - std::pow(double{kBeta1}, t));
      executor->f32(*correction)[1] = static_cast<float>(1 - std::pow(double{kBeta2}, t));
    }
    executor->step(apply);
  }

  void add_mean(size_t layer) {
    MeanPart& mean = *of_mean[layer];
    const auto x = executor->f32(mean.input_mean);
    for (size_t c = 0; c < x.size(); ++c) mean.means[c] += double{x[c]};
    const auto dw = executor->f32(of_weight[layer].gradient);
    const auto db = executor->f32(of_bias[layer]->gradient);
    for (size_t i = 0; i < dw.size(); ++i) {
      mean.with_bias[i] += double{dw[i]} * double{db[mean.output(i, db.size())]};
    }
  }

  // Of element i of a weight. g is its gradient, b that of the bias, x the mean input.
  double of_element(Estimate estimate, size_t layer, size_t i) const {
    const auto samples = double(std::max<int64_t>(1, measured));
    const Sums& weight = of_weight[layer];
    const double whole = weight.of(estimate, i, samples);
    if (!of_mean[layer].has_value()) return whole;
    const MeanPart& mean = *of_mean[layer];
    const Sums& bias = *of_bias[layer];
    const size_t outputs = bias.sum.size(), o = mean.output(i, outputs);
    const double x = mean.means[mean.input(i, outputs)] / samples;
    const double centred =
        estimate == Estimate::kGradient
            ? std::pow((weight.sum[i] - x * bias.sum[o]) / samples, 2)
            : (weight.squares[i] - 2 * x * mean.with_bias[i] + x * x * bias.squares[o]) / samples;
    return centred - kMeanPenalty * (whole - centred);
  }

  void add(Sums& sums) {
    const auto g = executor->f32(sums.gradient);
    for (size_t i = 0; i < g.size(); ++i) {
      sums.squares[i] += double{g[i]} * double{g[i]};
      sums.sum[i] += double{g[i]};
    }
  }
};

GradientStatistics::GradientStatistics(const Graph& graph, std::span<const ValueId> classifier,
                                       const Loss& loss)
    : impl_(std::make_unique<Impl>()) {
  impl_->layers = convolutions(graph, classifier);
  UpdateScheme scheme;
  for (const ValueId id : classifier) scheme.parameters.push_back({id, Group::kHead});
  for (const Convolution& layer : impl_->layers) {
    scheme.parameters.push_back({layer.weight});
    if (layer.bias.has_value()) scheme.parameters.push_back({*layer.bias});
    impl_->weights.push_back(graph.value(layer.weight).data);
  }
  const auto name = [&](ValueId id) { return graph.value(id).name; };
  GradientGraph gradients = differentiate(graph, loss, scheme);
  const std::vector<ParameterGradient> all = gradients.gradients;
  std::erase_if(gradients.gradients,
                [](const ParameterGradient& p) { return p.group != Group::kHead; });
  const auto sums_of = [&](ValueId parameter) {
    const auto found = std::ranges::find_if(all, [&](const ParameterGradient& p) {
      return gradients.graph.value(p.parameter).name == name(parameter);
    });
    const auto elements =
        static_cast<size_t>(gradients.graph.value(found->parameter).type.elements());
    return Sums{found->gradient, std::vector<double>(elements), std::vector<double>(elements)};
  };
  const auto mean_part = [&](const Convolution& layer) {
    const Node& node = graph.node(layer.node);
    const bool is_depthwise = graph.value(layer.weight).type.rank() == 3;
    const ValueId mean = emit(gradients.graph, kReduceMean, node.name + ".input_mean",
                              {input_beside(gradients.graph, name(layer.weight))},
                              {{"axes", std::vector<int64_t>{0, 1, 2}}, {"keepdims", int64_t{0}}});
    gradients.graph.outputs.push_back(mean);
    const TensorType& w = graph.value(layer.weight).type;
    const int64_t groups = is_depthwise ? 1 : node.attributes.integer("groups");
    return MeanPart{.input_mean = mean,
                    .means = std::vector<double>(
                        static_cast<size_t>(gradients.graph.value(mean).type.elements())),
                    .with_bias = std::vector<double>(static_cast<size_t>(w.elements())),
                    .group_inputs = is_depthwise ? 1 : w.dim(2),
                    .group_outputs = is_depthwise ? 0 : w.shape.back() / groups};
  };
  for (const ParameterGradient& p : all) gradients.graph.outputs.push_back(p.gradient);
  for (const Convolution& layer : impl_->layers) {
    impl_->of_weight.push_back(sums_of(layer.weight));
    impl_->of_bias.emplace_back();
    impl_->of_mean.emplace_back();
    if (!layer.bias.has_value()) continue;
    impl_->of_bias.back() = sums_of(*layer.bias);
    impl_->of_mean.back() = mean_part(layer);
  }

  TrainingGraph training =
      append_updates(std::move(gradients),
                     {.beta1 = kBeta1, .beta2 = kBeta2, .accumulation_steps = kSamplesAnUpdate});
  impl_->input = training.graph.inputs.at(0);
  impl_->label = training.target;
  impl_->correction = training.adam_correction;
  for (const auto& [group, id] : training.learning_rate) impl_->classifier_rates.push_back(id);
  impl_->executor.emplace(
      compile(std::move(training.graph), *tt_best_kernels(), {.updates_last = true}));
}

GradientStatistics::~GradientStatistics() = default;

std::span<float> GradientStatistics::input() const { return impl_->executor->f32(impl_->input); }
int32_t& GradientStatistics::label() const { return impl_->executor->i32(impl_->label)[0]; }

void GradientStatistics::train_classifier(float rate) {
  const bool apply = ++impl_->pending == kSamplesAnUpdate;
  impl_->run(apply, rate);
  if (!apply) return;
  impl_->pending = 0;
  ++impl_->updates;
}

void GradientStatistics::measure() {
  impl_->run(/*apply=*/false, /*rate=*/0);
  for (Sums& sums : impl_->of_weight) impl_->add(sums);
  for (std::optional<Sums>& sums : impl_->of_bias) {
    if (sums.has_value()) impl_->add(*sums);
  }
  for (size_t layer = 0; layer < impl_->of_mean.size(); ++layer) {
    if (impl_->of_mean[layer].has_value()) impl_->add_mean(layer);
  }
  ++impl_->measured;
}

Contributions GradientStatistics::contributions(Estimate estimate) const {
  const size_t count = impl_->layers.size();
  const auto samples = double(std::max<int64_t>(1, impl_->measured));
  Contributions gains = by_part<double>(static_cast<int64_t>(count));
  for (size_t k = 1; k <= count; ++k) {
    gains.biases[k] = gains.biases[k - 1];
    const std::optional<Sums>& sums = impl_->of_bias[count - k];
    for (size_t i = 0; sums.has_value() && i < sums->sum.size(); ++i) {
      gains.biases[k] += sums->of(estimate, i, samples);
    }
  }
  for (size_t layer = 0; layer < count; ++layer) {
    const Tensor& w = *impl_->weights[layer];
    const size_t dimension = input_channel_dimension(w.type());
    const AxisView view = axes_view(w.type().shape, dimension, dimension + 1);
    std::vector<double> of_channel(static_cast<size_t>(view.size), 0);
    for (size_t i = 0; i < impl_->of_weight[layer].sum.size(); ++i) {
      const auto channel = static_cast<size_t>(static_cast<int64_t>(i) / view.inner % view.size);
      of_channel[channel] += impl_->of_element(estimate, layer, i);
    }
    for (size_t r = 0; r < kRatioCount; ++r) {
      for (const int64_t c : largest_channels(w, count_of_part(kRatios[r], view.size))) {
        gains.weights[layer][r] += of_channel[static_cast<size_t>(c)];
      }
    }
  }
  return gains;
}

}  // namespace tinytl

// The estimate from gradients, against gradients computed one sample at a time.

#include "sparse_update/gradient_statistics.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sparse_update/resolve.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

constexpr int kSamples = 3;

std::shared_ptr<Tensor> sample(int i) {
  return random_tensor({1, 8, 8, 3}, static_cast<uint32_t>(20 + i));
}

// What the loss says of one convolution, [1,1,ci,co], and its bias.
struct Layer {
  std::vector<std::vector<double>> weight, bias;  // gradients by sample
  std::vector<double> mean;                       // of the input, by channel

  double of_bias(Estimate estimate) const {
    double sum = 0;
    for (size_t o = 0; o < bias[0].size(); ++o) {
      sum += over_samples(estimate, [&](size_t s) { return bias[s][o]; });
    }
    return sum;
  }
  double of_weight(Estimate estimate, const std::vector<int64_t>& channels) const {
    double sum = 0;
    for (const int64_t c : channels) {
      for (size_t o = 0; o < bias[0].size(); ++o) {
        const size_t i = static_cast<size_t>(c) * bias[0].size() + o;
        const double whole = over_samples(estimate, [&](size_t s) { return weight[s][i]; });
        const double centred = over_samples(estimate, [&](size_t s) {
          return weight[s][i] - mean[static_cast<size_t>(c)] * bias[s][o];
        });
        sum += centred - 0.25 * (whole - centred);
      }
    }
    return sum;
  }

 private:
  // The mean of the squares of what `of` gives for each sample, or the square of its mean.
  template <class Of>
  static double over_samples(Estimate estimate, const Of& of) {
    double squares = 0, sum = 0;
    for (size_t s = 0; s < kSamples; ++s) {
      squares += of(s) * of(s) / kSamples;
      sum += of(s) / kSamples;
    }
    return estimate == Estimate::kFisher ? squares : sum * sum;
  }
};

Layer layer_of(const Graph& model, const std::string& name) {
  GradientGraph g =
      differentiate(model, {}, {{{model.id_of(name + ".weight")}, {model.id_of(name + ".bias")}}});
  const ValueId w = g.graph.id_of(name + ".weight");
  const bool weight_first = g.gradients.at(0).parameter == w;
  const ValueId dw = g.gradients.at(weight_first ? 0 : 1).gradient;
  const ValueId db = g.gradients.at(weight_first ? 1 : 0).gradient;
  ValueId x{};
  for (const Node& node : g.graph.nodes()) {
    const auto at = std::ranges::find(node.inputs, w);
    if (node.phase == Phase::kForward && at != node.inputs.end()) x = *std::prev(at);
  }
  g.graph.outputs.insert(g.graph.outputs.end(), {dw, db, x});
  Executor executor(g.graph);
  Layer layer;
  layer.mean.resize(static_cast<size_t>(g.graph.value(w).type.dim(2)), 0);
  for (int s = 0; s < kSamples; ++s) {
    std::ranges::copy(sample(s)->f32(), executor.f32(g.graph.inputs[0]).begin());
    executor.i32(g.target)[0] = s;
    executor.step();
    const auto numbers = [&](ValueId id) {
      return std::vector<double>(executor.f32(id).begin(), executor.f32(id).end());
    };
    layer.weight.push_back(numbers(dw));
    layer.bias.push_back(numbers(db));
    const std::vector<double> values = numbers(x);
    const size_t channels = layer.mean.size();
    for (size_t i = 0; i < values.size(); ++i) {
      layer.mean[i % channels] += values[i] * double(channels) / double(values.size() * kSamples);
    }
  }
  return layer;
}

class Statistics : public testing::Test {
 protected:
  Statistics() : network_(model_, head_, {}) {
    for (int i = 0; i < kSamples; ++i) {
      std::ranges::copy(sample(i)->f32(), network_.input().begin());
      network_.label() = i;
      network_.measure();
    }
  }
  const Graph model_ = with_own_tensors(small_cnn(1));
  const std::vector<ValueId> head_{model_.id_of("fc.weight"), model_.id_of("fc.bias")};
  GradientStatistics network_;
};

TEST_F(Statistics, AreThoseOfTheGradientsWithoutTheMeanOfTheInput) {
  const Layer layer = layer_of(model_, "block2.project");
  const Tensor& w = *model_.value(model_.id_of("block2.project.weight")).data;  // [1,1,16,8]
  for (const Estimate estimate : {Estimate::kFisher, Estimate::kGradient}) {
    const Contributions found = network_.contributions(estimate);
    const double bias = layer.of_bias(estimate);
    EXPECT_NEAR(found.biases[1], bias, 1e-4 * bias);
    for (size_t r = 0; r < kRatioCount; ++r) {
      const double want =
          layer.of_weight(estimate, largest_channels(w, count_of_part(kRatios[r], 16)));
      EXPECT_NEAR(found.weights[6][r], want, 1e-4 * std::abs(want)) << kRatios[r];
    }
  }
}

TEST_F(Statistics, MoreBiasesBringMore) {
  const Contributions fisher = network_.contributions(Estimate::kFisher);
  ASSERT_EQ(fisher.biases.size(), 8u);
  EXPECT_EQ(fisher.biases[0], 0);
  EXPECT_TRUE(std::ranges::is_sorted(fisher.biases));
}

TEST_F(Statistics, TrainingTheClassifierChangesNothingElse) {
  const Graph before = small_cnn(1);
  for (int i = 0; i < 16; ++i) {
    std::ranges::copy(sample(i % kSamples)->f32(), network_.input().begin());
    network_.label() = i % kSamples;
    network_.train_classifier(0.1f);
  }
  for (const ValueId id : parameters_of(model_)) {
    const bool is_head = std::ranges::find(head_, id) != head_.end();
    EXPECT_EQ(std::ranges::equal(model_.value(id).data->f32(), before.value(id).data->f32()),
              !is_head)
        << model_.value(id).name;
  }
}

}  // namespace
}  // namespace tinytl

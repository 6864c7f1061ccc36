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

// Squared gradients of one parameter by element: of each sample, added up; and of their sum.
std::pair<std::vector<double>, std::vector<double>> squares(const Graph& model, const char* name) {
  GradientGraph g = differentiate(model, {}, {{{model.id_of(name)}}});
  const ValueId gradient = g.gradients.at(0).gradient;
  g.graph.outputs.push_back(gradient);
  Executor executor(g.graph);
  std::vector<double> of_each(executor.f32(gradient).size(), 0), sum(of_each);
  for (int i = 0; i < kSamples; ++i) {
    std::ranges::copy(sample(i)->f32(), executor.f32(g.graph.inputs[0]).begin());
    executor.i32(g.target)[0] = i;
    executor.step();
    for (size_t j = 0; j < sum.size(); ++j) {
      const double value = executor.f32(gradient)[j];
      of_each[j] += value * value;
      sum[j] += value;
    }
  }
  for (double& value : of_each) value /= kSamples;
  for (double& value : sum) value = value / kSamples * (value / kSamples);
  return {of_each, sum};
}

double total(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
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

TEST_F(Statistics, OfAWholeWeightAndOfBiasesAreTheSquaresOfTheirGradients) {
  const auto [of_each, of_all] = squares(model_, "block2.project.weight");
  const auto [bias_of_each, bias_of_all] = squares(model_, "block2.project.bias");
  const Contributions fisher = network_.contributions(Estimate::kFisher);
  const Contributions gradient = network_.contributions(Estimate::kGradient);
  EXPECT_NEAR(fisher.weights[6][3], total(of_each), 1e-4 * total(of_each));
  EXPECT_NEAR(gradient.weights[6][3], total(of_all), 1e-4 * total(of_all));
  EXPECT_NEAR(fisher.biases[1], total(bias_of_each), 1e-4 * total(bias_of_each));
  EXPECT_NEAR(gradient.biases[1], total(bias_of_all), 1e-4 * total(bias_of_all));
}

TEST_F(Statistics, OfAPartAreThoseOfItsChannels) {
  const std::vector<double> of_each = squares(model_, "block2.project.weight").first;
  const Tensor& w = *model_.value(model_.id_of("block2.project.weight")).data;  // [1,1,16,8]
  const Contributions fisher = network_.contributions(Estimate::kFisher);
  double expected = 0;
  for (const int64_t c : largest_channels(w, 4)) {
    for (size_t o = 0; o < 8; ++o) expected += of_each[static_cast<size_t>(c) * 8 + o];
  }
  EXPECT_NEAR(fisher.weights[6][1], expected, 1e-4 * expected);
}

TEST_F(Statistics, MoreBiasesAndChannelsBringMore) {
  const Contributions fisher = network_.contributions(Estimate::kFisher);
  ASSERT_EQ(fisher.biases.size(), 8u);
  EXPECT_EQ(fisher.biases[0], 0);
  EXPECT_TRUE(std::ranges::is_sorted(fisher.biases));
  for (const auto& ratios : fisher.weights) EXPECT_TRUE(std::ranges::is_sorted(ratios));
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

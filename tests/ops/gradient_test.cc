// Every operator's gradient rule against central differences, for each set of inputs that may be
// trained, with the portable kernels and the fastest.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/ops/axis.h"
#include "engine/ops/passes.h"
#include "engine/ops/weight_channels.h"
#include "tests/ops/support.h"

namespace tinytl {
namespace {

// Of either sign, none near zero: a loss of one number must not vanish by its weight.
std::vector<float> random_weights(size_t count, std::mt19937& rng) {
  std::uniform_real_distribution<float> uniform(0.5f, 1.5f);
  std::vector<float> weights(count);
  for (float& w : weights) w = rng() % 2 == 0 ? uniform(rng) : -uniform(rng);
  return weights;
}

// L = sum r y, differentiated along one element at a time: the fourth-order stencil
//   L' = (8 (L(h) - L(-h)) - (L(2h) - L(-2h))) / (12 h)
// allows a step so large that f32 forward runs give four digits.
class NumericGradient {
 public:
  NumericGradient(const OpCase& op_case, const tt_kernels& kernels, const Operands& operands,
                  std::vector<float> r)
      : g_(forward_graph(op_case)), operands_(operands), r_(std::move(r)) {
    g_.graph.outputs = {g_.output};
    executor_.emplace(g_.graph, ExecutorOptions{.kernels = &kernels, .arena = nullptr});
  }

  std::vector<float> of_input(size_t input) {
    std::vector<float> gradient;
    for (float& x : operands_.f32[input]) {
      const float center = x;
      const auto difference = [&](float step) {
        x = center + step;
        const double up = loss();
        x = center - step;
        const double down = loss();
        x = center;
        return up - down;
      };
      constexpr float kStep = 1.0f / 32;
      gradient.push_back(static_cast<float>((8 * difference(kStep) - difference(2 * kStep)) /
                                            (12 * static_cast<double>(kStep))));
    }
    return gradient;
  }

 private:
  double loss() {
    write_operands(*executor_, g_, operands_);
    executor_->step();
    const auto y = executor_->f32(g_.output);
    double sum = 0;
    for (size_t i = 0; i < y.size(); ++i) sum += static_cast<double>(r_[i]) * y[i];
    return sum;
  }

  OpGraph g_;
  Operands operands_;
  std::vector<float> r_;
  std::optional<Executor> executor_;
};

std::string to_text(const std::vector<bool>& wanted) {
  std::string text;
  for (const bool w : wanted) text += w ? '1' : '0';
  return text;
}

void expect_close(const std::vector<float>& numeric, std::span<const float> analytic) {
  ASSERT_EQ(numeric.size(), analytic.size());
  float scale = 0.1f;
  for (const float v : numeric) scale = std::max(scale, std::abs(v));
  for (size_t i = 0; i < numeric.size(); ++i) {
    EXPECT_NEAR(analytic[i], numeric[i], 2e-3f * scale) << "element " << i;
  }
}

// The entries of a weight that belong to some of its input channels.
std::vector<float> entries_of(const std::vector<float>& whole, const TensorType& w,
                              const std::vector<int64_t>& channels) {
  const size_t dimension = input_channel_dimension(w);
  const AxisView view = axes_view(w.shape, dimension, dimension + 1);
  std::vector<float> entries;
  for (int64_t o = 0; o < view.outer; ++o) {
    for (const int64_t c : channels) {
      const auto from = whole.begin() + (o * view.size + c) * view.inner;
      entries.insert(entries.end(), from, from + view.inner);
    }
  }
  return entries;
}

class Gradient : public testing::TestWithParam<OpCase> {
 protected:
  // `channels`: of input 1, where its gradient is wanted of some input channels alone.
  void check_against_differences(const tt_kernels& kernels,
                                 const std::vector<int64_t>& channels = {}) {
    const OpCase& op_case = GetParam();
    std::mt19937 rng(7);
    const Operands operands = random_operands(op_case, rng);
    const OpGraph forward = forward_graph(op_case);
    const auto outputs = forward.graph.value(forward.output).type.elements();
    const std::vector<float> r = random_weights(static_cast<size_t>(outputs), rng);

    std::vector<std::vector<float>> numeric(op_case.inputs.size());
    NumericGradient differences(op_case, kernels, operands, r);
    for (size_t i = 0; i < numeric.size(); ++i) {
      if (op_case.inputs[i].dtype == DType::kF32) numeric[i] = differences.of_input(i);
    }
    if (!channels.empty()) numeric[1] = entries_of(numeric[1], op_case.inputs[1], channels);
    for (const std::vector<bool>& wanted : wanted_sets(op_case)) {
      SCOPED_TRACE("wanted inputs " + to_text(wanted));
      const GradGraph g = gradient_graph(op_case, wanted, channels);
      Executor executor(g.graph, {.kernels = &kernels, .arena = nullptr});
      write_operands(executor, g, operands);
      std::ranges::copy(r, executor.f32(g.dy).begin());
      executor.step();
      for (size_t i = 0; i < wanted.size(); ++i) {
        if (!wanted[i]) continue;
        SCOPED_TRACE("gradient of input " + std::to_string(i));
        ASSERT_TRUE(g.gradients[i].has_value());
        expect_close(numeric[i], executor.f32(*g.gradients[i]));
      }
    }
  }
};

TEST_P(Gradient, MatchesCentralDifferencesWithPortableKernels) {
  check_against_differences(tt_portable_kernels);
}

TEST_P(Gradient, MatchesCentralDifferencesWithBestKernels) {
  check_against_differences(*tt_best_kernels());
}

TEST_P(Gradient, ComputesNothingThatIsNotWanted) {
  for (const std::vector<bool>& wanted : wanted_sets(GetParam())) {
    SCOPED_TRACE("wanted inputs " + to_text(wanted));
    GradGraph g = gradient_graph(GetParam(), wanted);
    for (size_t i = 0; i < wanted.size(); ++i) EXPECT_EQ(g.gradients[i].has_value(), wanted[i]);
    g.graph.outputs.push_back(g.output);
    EXPECT_EQ(prune(g.graph).nodes().size(), g.graph.nodes().size())
        << "a node was emitted that no gradient needs";
  }
}

// An operator that may write over its input must give the same bits when it does: every value of
// the second graph is an output, so that nothing there may be overwritten.
void expect_same_in_place(const OpGraph& g, const Operands& operands,
                          std::optional<ValueId> dy = {}) {
  OpGraph kept = g;
  for (size_t v = 0; v < kept.graph.values().size(); ++v) {
    kept.graph.outputs.push_back(ValueId{static_cast<uint32_t>(v)});
  }
  Executor overwriting(g.graph), copying(kept.graph);
  for (Executor* executor : {&overwriting, &copying}) {
    write_operands(*executor, g, operands);
    std::mt19937 rng(3);
    if (dy.has_value()) {
      const auto to = executor->f32(*dy);
      std::ranges::copy(random_weights(to.size(), rng), to.begin());
    }
    executor->step();
  }
  for (const ValueId id : g.graph.outputs) {
    EXPECT_TRUE(std::ranges::equal(overwriting.f32(id), copying.f32(id)));
  }
}

TEST_P(Gradient, InPlaceChangesNoBit) {
  std::mt19937 rng(11);
  const Operands operands = random_operands(GetParam(), rng);
  OpGraph forward = forward_graph(GetParam());
  forward.graph.outputs = {forward.output};
  expect_same_in_place(forward, operands);
  for (const std::vector<bool>& wanted : wanted_sets(GetParam())) {
    SCOPED_TRACE("wanted inputs " + to_text(wanted));
    const GradGraph g = gradient_graph(GetParam(), wanted);
    expect_same_in_place(g, operands, g.dy);
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, Gradient, testing::ValuesIn(op_cases()),
                         [](const auto& test) { return test.param.label; });

// Of a weight of which some input channels train.
class SlicedGradient : public Gradient {
 protected:
  // The first, the last, and every other one.
  static std::vector<std::vector<int64_t>> some_channels() {
    const TensorType& w = GetParam().inputs[1];
    const int64_t count = w.dim(input_channel_dimension(w));
    std::vector<std::vector<int64_t>> some{{0}, {count - 1}, {}};
    for (int64_t c = 0; c < count; c += 2) some.back().push_back(c);
    return some;
  }
};

std::vector<OpCase> cases_with_slices() {
  std::vector<OpCase> cases = op_cases();
  std::erase_if(cases, [](const OpCase& c) { return !c.op->slices_weight; });
  return cases;
}

TEST_P(SlicedGradient, MatchesCentralDifferences) {
  for (const std::vector<int64_t>& channels : some_channels()) {
    SCOPED_TRACE("channels " + to_string(Shape(channels)));
    check_against_differences(tt_portable_kernels, channels);
    check_against_differences(*tt_best_kernels(), channels);
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, SlicedGradient, testing::ValuesIn(cases_with_slices()),
                         [](const auto& test) { return test.param.label; });

TEST(OpCases, EveryDifferentiableOperatorHasACase) {
  // Operators on integers have gradients by agreement: tests/ops/integer_test.cc.
  std::set<const OpDef*> covered{&kQuantize,         &kDequantize, &kQConv2d,
                                 &kQDepthwiseConv2d, &kQAdd,       &kQGlobalAveragePool};
  for (const OpCase& c : op_cases()) covered.insert(c.op);
  for (const OpDef* op : all_ops()) {
    EXPECT_TRUE(op->vjp == nullptr || covered.contains(op)) << op->name << " has no case";
  }
}

TEST(OpCases, EveryOperatorHasItsOwnName) {
  std::set<std::string_view> names;
  for (const OpDef* op : all_ops()) EXPECT_TRUE(names.insert(op->name).second) << op->name;
}

}  // namespace
}  // namespace tinytl

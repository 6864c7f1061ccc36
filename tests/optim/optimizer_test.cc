// Each optimizer against its formula, written down a second time in double; accumulation, clipping.

#include "optim/optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/runtime/executor.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

using Kind = OptimizerOptions::Kind;

constexpr int64_t kSize = 37;

// y = p, the loss |p - target|^2 / n: the gradient is 2 (p - target) / n.
GradientGraph bowl() {
  Graph g;
  g.source = "bowl";
  const ValueId x = g.add_input("x", {DType::kF32, {1, kSize}});
  const ValueId p = add_bias(g, "p", {kSize});
  g.outputs = {emit(g, kAdd, "y", {x, p})};
  return differentiate(g, {.kind = Loss::Kind::kMeanSquaredError}, {{{p}}});
}

float target_of(size_t i, int step) { return 0.1f * static_cast<float>((i * 7 + step * 3) % 11); }

// One parameter vector under PyTorch's formulas.
class Reference {
 public:
  Reference(std::span<const float> start, const OptimizerOptions& o)
      : p(start.begin(), start.end()), o_(o), m_(p.size(), 0), v_(p.size(), 0) {}

  void step(std::vector<double> g, double rate) {
    ++t_;
    double norm = 0;
    for (const double x : g) norm += x * x;
    if (o_.clip_norm > 0) {
      for (double& x : g) x *= std::min(1.0, o_.clip_norm / (std::sqrt(norm) + 1e-6));
    }
    for (size_t i = 0; i < p.size(); ++i) {
      if (o_.kind == Kind::kSgd) {
        sgd(i, g[i], rate);
      } else {
        adam(i, g[i], rate);
      }
    }
  }

  std::vector<double> p;

 private:
  void sgd(size_t i, double g, double rate) {
    g += double{o_.weight_decay} * p[i];
    m_[i] = t_ == 1 ? g : double{o_.momentum} * m_[i] + g;
    if (o_.momentum != 0) g = o_.nesterov ? g + double{o_.momentum} * m_[i] : m_[i];
    p[i] -= rate * g;
  }

  void adam(size_t i, double g, double rate) {
    const double b1 = o_.beta1, b2 = o_.beta2, decay = o_.weight_decay;
    if (o_.kind == Kind::kAdamW) {
      p[i] *= 1 - rate * decay;
    } else {
      g += decay * p[i];
    }
    m_[i] = b1 * m_[i] + (1 - b1) * g;
    v_[i] = b2 * v_[i] + (1 - b2) * g * g;
    const double m = m_[i] / (1 - std::pow(b1, t_)), v = v_[i] / (1 - std::pow(b2, t_));
    p[i] -= rate * m / (std::sqrt(v) + double{o_.epsilon});
  }

  OptimizerOptions o_;
  std::vector<double> m_, v_;
  int t_ = 0;
};

struct Case {
  const char* name;
  OptimizerOptions options;
  float rate;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

const Case kCases[] = {
    {"Sgd", {.kind = Kind::kSgd, .momentum = 0.0f}, 0.5f},
    {"SgdMomentum", {.kind = Kind::kSgd, .momentum = 0.9f}, 0.5f},
    {"SgdNesterov", {.kind = Kind::kSgd, .momentum = 0.9f, .nesterov = true}, 0.5f},
    {"SgdWeightDecay", {.kind = Kind::kSgd, .momentum = 0.9f, .weight_decay = 0.05f}, 0.5f},
    {"SgdClipped", {.kind = Kind::kSgd, .momentum = 0.9f, .clip_norm = 0.02f}, 0.5f},
    {"Adam", {.kind = Kind::kAdam}, 0.01f},
    {"AdamWeightDecay", {.kind = Kind::kAdam, .weight_decay = 0.05f}, 0.01f},
    {"AdamBetas", {.kind = Kind::kAdam, .beta1 = 0.5f, .beta2 = 0.9f, .epsilon = 1e-4f}, 0.01f},
    {"AdamW", {.kind = Kind::kAdamW, .weight_decay = 0.05f}, 0.01f},
    {"AdamWClipped", {.kind = Kind::kAdamW, .weight_decay = 0.05f, .clip_norm = 0.02f}, 0.01f},
};

class Optimizer : public testing::TestWithParam<Case> {};

TEST_P(Optimizer, FollowsItsFormulaForTwentySteps) {
  const OptimizerOptions& options = GetParam().options;
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    const TrainingGraph t = append_updates(bowl(), options);
    Executor executor(t.graph, {.kernels = kernels, .arena = nullptr});
    const auto p = executor.f32(t.trained[0].parameter);
    Reference reference(p, options);
    for (int step = 1; step <= 20; ++step) {
      const float rate = GetParam().rate / static_cast<float>(step % 3 + 1);
      std::vector<double> gradient;
      for (size_t i = 0; i < p.size(); ++i) {
        executor.f32(t.graph.inputs[0])[i] = 0;
        executor.f32(t.target)[i] = target_of(i, step);
        gradient.push_back(2 * (reference.p[i] - double{target_of(i, step)}) / kSize);
      }
      executor.f32(t.learning_rate.at(Group::kBackbone))[0] = rate;
      if (t.adam_correction.has_value()) {
        const auto correction = executor.f32(*t.adam_correction);
        correction[0] = static_cast<float>(1 - std::pow(double{options.beta1}, step));
        correction[1] = static_cast<float>(1 - std::pow(double{options.beta2}, step));
      }
      executor.step();
      reference.step(std::move(gradient), double{rate});
      for (size_t i = 0; i < p.size(); ++i) {
        ASSERT_NEAR(p[i], reference.p[i], 2e-6) << kernels->name << ", step " << step;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formulas, Optimizer, testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

size_t count_state(const Graph& graph) {
  return static_cast<size_t>(std::count_if(graph.values().begin(), graph.values().end(),
                                           [](const Value& v) { return v.role == Role::kState; }));
}

TEST(AppendUpdates, PlainSgdKeepsNoState) {
  const OptimizerOptions plain{.kind = Kind::kSgd, .momentum = 0.0f};
  EXPECT_EQ(count_state(append_updates(bowl(), plain).graph), 0u);
  EXPECT_EQ(count_state(append_updates(bowl(), {.kind = Kind::kSgd}).graph), 1u);
  EXPECT_EQ(count_state(append_updates(bowl(), {.kind = Kind::kAdam}).graph), 2u);
}

TEST(AppendUpdates, StateIsNamedAfterItsParameter) {
  const TrainingGraph t = append_updates(bowl(), {.kind = Kind::kAdam, .accumulation_steps = 2});
  for (const char* name : {"p.m", "p.v", "p.gradient_sum"}) {
    EXPECT_NE(t.graph.find(name), nullptr) << name;
  }
}

TEST(AppendUpdates, EachGroupHasItsLearningRate) {
  const Graph model = mlp(2, 3, {4, 5});
  const UpdateScheme scheme{
      {{model.id_of("fc0.bias"), Group::kBackbone}, {model.id_of("fc1.bias"), Group::kHead}}};
  const TrainingGraph t =
      append_updates(differentiate(model, {}, scheme), {.kind = Kind::kSgd, .momentum = 0.0f});
  ASSERT_EQ(t.learning_rate.size(), 2u);
  Executor executor(t.graph);
  const auto head = executor.f32(model.id_of("fc1.bias"));
  std::fill_n(executor.f32(t.graph.inputs[0]).begin(), 6, 0.5f);
  executor.i32(t.target)[0] = executor.i32(t.target)[1] = 2;
  executor.f32(t.learning_rate.at(Group::kBackbone))[0] = 0.1f;
  executor.f32(t.learning_rate.at(Group::kHead))[0] = 0.0f;
  const auto parameter = [&](const std::string& name) {
    for (const ParameterGradient& p : t.trained) {
      if (t.graph.value(p.parameter).name == name) return executor.f32(p.parameter);
    }
    return head;
  };
  const auto b0 = parameter("fc0.bias"), b1 = parameter("fc1.bias");
  const std::vector<float> old0(b0.begin(), b0.end()), old1(b1.begin(), b1.end());
  executor.step();
  EXPECT_FALSE(std::equal(b0.begin(), b0.end(), old0.begin()));
  EXPECT_TRUE(std::equal(b1.begin(), b1.end(), old1.begin()));
}

// Trains a small network on eight samples for three updates, in micro-batches.
std::vector<float> train(int64_t micro_batch, const OptimizerOptions& options) {
  constexpr int64_t kSamples = 8;
  const Graph model = with_own_tensors(small_cnn(micro_batch));
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(model)) scheme.parameters.push_back({id});
  OptimizerOptions accumulating = options;
  accumulating.accumulation_steps = static_cast<int>(kSamples / micro_batch);
  const TrainingGraph t = append_updates(differentiate(model, {}, scheme), accumulating);
  Executor executor(compile(t.graph, tt_portable_kernels, {.updates_last = true}),
                    {.kernels = &tt_portable_kernels, .arena = nullptr});
  const auto x = random_tensor({kSamples, 8, 8, 3}, 5);
  const int64_t pixels = micro_batch * 8 * 8 * 3;
  for (int update = 0; update < 3; ++update) {
    for (int64_t i = 0; i < kSamples / micro_batch; ++i) {
      std::copy_n(x->f32().begin() + i * pixels, pixels, executor.f32(t.graph.inputs[0]).begin());
      for (int64_t n = 0; n < micro_batch; ++n) {
        executor.i32(t.target)[static_cast<size_t>(n)] =
            static_cast<int32_t>((i * micro_batch + n) % 5);
      }
      executor.f32(t.learning_rate.at(Group::kBackbone))[0] = 0.05f;
      executor.step(/*apply_updates=*/i + 1 == kSamples / micro_batch);
    }
  }
  std::vector<float> result;
  for (const ParameterGradient& p : t.trained) {
    const auto values = executor.f32(p.parameter);
    result.insert(result.end(), values.begin(), values.end());
  }
  return result;
}

class Accumulation : public testing::TestWithParam<float> {};  // the norm to clip at

TEST_P(Accumulation, MicroBatchesGiveTheUpdateOfTheWholeBatch) {
  const OptimizerOptions options{.kind = Kind::kSgd, .clip_norm = GetParam()};
  const std::vector<float> whole = train(8, options);
  for (const int64_t micro_batch : {1, 2, 4}) {
    const std::vector<float> got = train(micro_batch, options);
    ASSERT_EQ(got.size(), whole.size());
    for (size_t i = 0; i < whole.size(); ++i) {
      ASSERT_NEAR(got[i], whole[i], 1e-6 * std::max(1.0f, std::abs(whole[i]))) << micro_batch;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Clipped, Accumulation, testing::Values(0.0f, 0.5f));

TEST(ClipNorm, LeavesGradientsBelowItAlone) {
  const OptimizerOptions free{.kind = Kind::kSgd}, loose{.kind = Kind::kSgd, .clip_norm = 1e6f};
  EXPECT_EQ(train(8, free), train(8, loose));
}

// The distance to the target after so many steps with gradients of a noisy target.
double distance_after(Kind kind, int steps) {
  const TrainingGraph t = append_updates(bowl(), {.kind = kind});
  Executor executor(t.graph);
  const auto p = executor.f32(t.trained[0].parameter);
  double sum = 0;
  for (int step = 1; step <= steps; ++step) {
    std::ranges::fill(executor.f32(t.graph.inputs[0]), 0.0f);
    const auto target = executor.f32(t.target);
    for (size_t i = 0; i < target.size(); ++i) {
      target[i] = target_of(i, 0) + 0.3f * (target_of(i, step) - 0.5f);
    }
    executor.f32(*t.adam_correction)[0] = static_cast<float>(1 - std::pow(0.9, step));
    executor.f32(*t.adam_correction)[1] = static_cast<float>(1 - std::pow(0.999, step));
    executor.f32(t.learning_rate.begin()->second)[0] =
        0.02f * (1 - static_cast<float>(step) / static_cast<float>(steps));
    executor.step();
  }
  for (size_t i = 0; i < p.size(); ++i) {
    sum += std::pow(double{p[i]} - double{target_of(i, 0)}, 2);
  }
  return std::sqrt(sum / static_cast<double>(p.size()));
}

TEST(Adam8bit, ConvergesAsAdamDoes) {
  constexpr int kSteps = 2000;
  EXPECT_LT(distance_after(Kind::kAdam, kSteps), 0.02);
  EXPECT_LT(distance_after(Kind::kAdam8bit, kSteps), 0.02);
  EXPECT_LT(distance_after(Kind::kAdamW8bit, kSteps), 0.02);
}

TEST(Adam8bit, StateIsAQuarter) {
  size_t bytes[2] = {};
  for (const Kind kind : {Kind::kAdam, Kind::kAdam8bit}) {
    Graph g;
    g.source = "wide";
    const ValueId x = g.add_input("x", {DType::kF32, {1, 1024}});
    const ValueId p = add_bias(g, "p", {1024});
    g.outputs = {emit(g, kAdd, "y", {x, p})};
    const TrainingGraph t = append_updates(
        differentiate(g, {.kind = Loss::Kind::kMeanSquaredError}, {{{p}}}), {.kind = kind});
    for (const Value& value : t.graph.values()) {
      if (value.role == Role::kState) bytes[kind == Kind::kAdam8bit] += value.type.bytes();
    }
  }
  EXPECT_EQ(bytes[0], 8192u);
  EXPECT_EQ(bytes[1], 2048u + 2 * 4 * sizeof(float));
}

}  // namespace
}  // namespace tinytl

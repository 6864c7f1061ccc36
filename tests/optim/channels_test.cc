// Weights of which some input channels train: the step is that of the whole weights, in these
// channels, and touches nothing else.

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/ops/axis.h"
#include "engine/ops/weight_channels.h"
#include "engine/runtime/executor.h"
#include "optim/optimizer.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

using Kind = OptimizerOptions::Kind;

std::vector<int64_t> every_other(const TensorType& w) {
  std::vector<int64_t> channels;
  for (int64_t c = 1; c < w.dim(input_channel_dimension(w)); c += 2) channels.push_back(c);
  return channels;
}

// Every bias, and of every weight every other channel, or all.
UpdateScheme scheme_of(const Graph& model, bool in_part) {
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(model)) {
    scheme.parameters.push_back({id});
    const Value& value = model.value(id);
    if (in_part && value.role == Role::kWeight) {
      scheme.parameters.back().channels = every_other(value.type);
    }
  }
  return scheme;
}

// By element of a parameter: whether it is of a channel that trains.
std::vector<bool> trains(const Value& parameter) {
  const TensorType& type = parameter.type;
  std::vector<bool> trains(static_cast<size_t>(type.elements()), parameter.role == Role::kBias);
  if (parameter.role == Role::kBias) return trains;
  const size_t dimension = input_channel_dimension(type);
  const AxisView view = axes_view(type.shape, dimension, dimension + 1);
  for (size_t i = 0; i < trains.size(); ++i) {
    trains[i] = static_cast<int64_t>(i) / view.inner % view.size % 2 == 1;
  }
  return trains;
}

struct Case {
  const char* name;
  OptimizerOptions options;
  int steps = 3;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

const Case kCases[] = {
    {"Sgd", {.kind = Kind::kSgd, .momentum = 0.0f}},
    {"SgdMomentum", {.kind = Kind::kSgd, .momentum = 0.9f, .weight_decay = 0.05f}},
    {"SgdNesterov", {.kind = Kind::kSgd, .momentum = 0.9f, .nesterov = true}},
    {"Adam", {.kind = Kind::kAdam, .epsilon = 1e-3f}},
    {"AdamW", {.kind = Kind::kAdamW, .epsilon = 1e-3f, .weight_decay = 0.05f}},
    // Its state is rounded at random by place, so that later steps differ.
    {"Adam8bit", {.kind = Kind::kAdam8bit, .epsilon = 1e-3f}, 1},
    {"AdamW8bit", {.kind = Kind::kAdamW8bit, .epsilon = 1e-3f, .weight_decay = 0.05f}, 1},
};

struct Run {
  int64_t micro_batch = 8;
  int threads = 1;
  bool in_part = true;
  const tt_kernels* kernels = tt_best_kernels();
};

// The parameters after some updates on eight samples. What does not train in part is put back
// after each of them.
std::vector<std::vector<float>> train(const OptimizerOptions& options, int steps, const Run& run) {
  constexpr int64_t kSamples = 8;
  const Graph model = with_own_tensors(small_cnn(run.micro_batch));
  OptimizerOptions accumulating = options;
  accumulating.accumulation_steps = static_cast<int>(kSamples / run.micro_batch);
  const TrainingGraph t =
      append_updates(differentiate(model, {}, scheme_of(model, run.in_part)), accumulating);
  Executor executor(
      compile(t.graph, *run.kernels,
              {.updates_last = accumulating.accumulation_steps > 1, .threads = run.threads}),
      {.kernels = run.kernels,
       .threads = run.threads > 1 ? std::make_shared<ThreadPool>(run.threads) : nullptr});
  const auto x = random_tensor({kSamples, 8, 8, 3}, 5);
  const int64_t pixels = run.micro_batch * 8 * 8 * 3;
  std::vector<std::vector<float>> start, result;
  for (const ValueId id : parameters_of(model)) {
    const auto values = model.value(id).data->f32();
    start.emplace_back(values.begin(), values.end());
  }
  for (int step = 1; step <= steps; ++step) {
    for (int64_t i = 0; i < kSamples / run.micro_batch; ++i) {
      std::copy_n(x->f32().begin() + i * pixels, pixels, executor.f32(t.graph.inputs[0]).begin());
      for (int64_t n = 0; n < run.micro_batch; ++n) {
        executor.i32(t.target)[static_cast<size_t>(n)] =
            static_cast<int32_t>((i * run.micro_batch + n) % 5);
      }
      executor.f32(t.learning_rate.at(Group::kBackbone))[0] = 0.05f;
      if (t.adam_correction.has_value()) {
        executor.f32(*t.adam_correction)[0] = static_cast<float>(1 - std::pow(0.9, step));
        executor.f32(*t.adam_correction)[1] = static_cast<float>(1 - std::pow(0.999, step));
      }
      executor.step(/*apply_updates=*/i + 1 == kSamples / run.micro_batch);
    }
    result.clear();
    for (size_t p = 0; p < start.size(); ++p) {
      Value parameter = model.value(parameters_of(model)[p]);
      const auto values = parameter.data->f32();
      const std::vector<bool> kept = trains(parameter);
      for (size_t i = 0; i < values.size(); ++i) {
        if (!kept[i] && !run.in_part) values[i] = start[p][i];
      }
      result.emplace_back(values.begin(), values.end());
    }
  }
  return result;
}

class Channels : public testing::TestWithParam<Case> {};

TEST_P(Channels, TrainAsTheyDoInAWholeUpdate) {
  const auto& [name, options, steps] = GetParam();
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    const auto whole = train(options, steps, {.in_part = false, .kernels = kernels});
    const auto part = train(options, steps, {.kernels = kernels});
    ASSERT_EQ(whole.size(), part.size());
    for (size_t p = 0; p < part.size(); ++p) {
      for (size_t i = 0; i < part[p].size(); ++i) {
        ASSERT_NEAR(part[p][i], whole[p][i], 2e-5) << "parameter " << p << ", element " << i;
      }
    }
  }
}

TEST_P(Channels, NothingElseChangesByABit) {
  const Graph model = small_cnn(8);
  const auto after = train(GetParam().options, 2, {});
  const std::vector<ValueId> parameters = parameters_of(model);
  bool any_trained = false;
  for (size_t p = 0; p < after.size(); ++p) {
    const Value& before = model.value(parameters[p]);
    const std::vector<bool> may_change = trains(before);
    for (size_t i = 0; i < may_change.size(); ++i) {
      const bool is_same = std::memcmp(&after[p][i], &before.data->f32()[i], sizeof(float)) == 0;
      ASSERT_TRUE(is_same || may_change[i]) << before.name << ", element " << i;
      any_trained = any_trained || !is_same;
    }
  }
  EXPECT_TRUE(any_trained);
}

TEST_P(Channels, PartsAndMicroBatchesGiveTheSame) {
  OptimizerOptions options = GetParam().options;
  options.clip_norm = 0.5f;
  const auto whole = train(options, GetParam().steps, {});
  EXPECT_EQ(train(options, GetParam().steps, {.threads = 2}), whole);
  const auto summed = train(options, GetParam().steps, {.micro_batch = 2});
  for (size_t p = 0; p < whole.size(); ++p) {
    for (size_t i = 0; i < whole[p].size(); ++i) {
      ASSERT_NEAR(summed[p][i], whole[p][i], 2e-5) << "parameter " << p << ", element " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, Channels, testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(ChannelUpdates, StateAndGradientAreOfTheChannels) {
  const Graph model = small_cnn(2);
  const ValueId w = model.id_of("block1.expand.weight");
  const UpdateScheme scheme{{{.parameter = w, .channels = {1, 4, 6}}}};
  const TrainingGraph t = append_updates(differentiate(model, {}, scheme),
                                         {.kind = Kind::kAdam, .accumulation_steps = 2});
  const TensorType part = channels_of(model.value(w).type, std::vector<int64_t>{1, 4, 6});
  for (const char* state : {".m", ".v", ".gradient_sum"}) {
    const Value* value = t.graph.find("block1.expand.weight" + std::string(state));
    ASSERT_NE(value, nullptr) << state;
    EXPECT_EQ(value->type, part) << state;
  }
}

}  // namespace
}  // namespace tinytl

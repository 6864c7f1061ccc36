// A batch in parts gives the numbers of the whole batch: gradients, updates, runs, dropout too.

#include <cmath>
#include <cstdlib>

#include "tests/train/support.h"

namespace tinytl {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

constexpr int kBatch = 8;

Batch random_batch(const Session& session, uint64_t seed) {
  Batch batch;
  batch.count = kBatch;
  const int64_t values = session.input_type().elements() / session.micro_batch_size();
  batch.size = {1, 1, static_cast<int>(values)};
  Random random(seed, 0, 0);
  for (int64_t i = 0; i < kBatch * values; ++i) {
    batch.floats.push_back(static_cast<float>(random.uniform(-1, 1)));
  }
  for (int n = 0; n < kBatch; ++n) batch.labels.push_back(random.below(3));
  return batch;
}

std::vector<double> numbers(const Session& session) {
  std::vector<double> all;
  for (const Value& value : session.trained()) {
    const auto part = value.data->f32();
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return std::sqrt(sum);
}

struct Run {
  std::vector<double> before, after;
  std::vector<double> losses;
  int64_t correct = 0;
};

Run train_steps(const Recipe& recipe, int steps, double rate) {
  const Prepared prepared = prepare(recipe);
  Session& session = *prepared.session;
  Run run{.before = numbers(session), .after = {}, .losses = {}};
  const auto count = static_cast<int>(session.micro_batch_size());
  for (int step = 0; step < steps; ++step) {
    const auto seed = static_cast<uint64_t>(step);
    const Batch batch = random_batch(session, seed);
    double loss = 0;
    for (int part = 0; part < kBatch / count; ++part) {
      session.load(part_of(batch, part * count, count), {});
      const StepResult result = session.run({rate, rate}, seed, part);
      loss += result.loss * count / kBatch;
      run.correct += result.correct;
    }
    run.losses.push_back(loss);
  }
  EXPECT_EQ(session.updates, steps);
  run.after = numbers(session);
  return run;
}

// How far apart the parts and the whole end, relative to how far the parameters moved.
double difference(Recipe recipe, int64_t micro_batch, int steps, double rate) {
  recipe.batch = kBatch;
  const Run whole = train_steps(recipe, steps, rate);
  recipe.micro_batch = micro_batch;
  const Run parts = train_steps(recipe, steps, rate);
  EXPECT_EQ(parts.before, whole.before);
  EXPECT_EQ(parts.correct, whole.correct);
  for (size_t i = 0; i < whole.losses.size(); ++i) {
    EXPECT_NEAR(parts.losses[i], whole.losses[i], 1e-5 * whole.losses[i]) << i;
  }
  return distance(parts.after, whole.after) / distance(whole.after, whole.before);
}

// Plain SGD moves every parameter by its gradient, and a rate of 1 far enough that the rounding of
// the parameters themselves does not show. What is left is the order of the sums.
constexpr double kSumOrder = 1e-6;
// Ten steps amplify it: each starts from parameters that differ in their last bits.
constexpr double kTenSteps = 1e-5;

Recipe sgd(const fs::path& network, Update update, float momentum = 0) {
  return {.update = update,
          .optimizer = {.kind = OptimizerOptions::Kind::kSgd, .momentum = momentum},
          .network = network};
}

class MicroBatch : public testing::TestWithParam<int64_t> {};

TEST_P(MicroBatch, OneUpdateIsThatOfTheBatch) {
  for (const char* network :
       {"mobilenet_small.onnx", "resnet_small.onnx", "transformer_small.onnx"}) {
    for (const Update update : {Update::kLast, Update::kBias, Update::kFull}) {
      EXPECT_LT(difference(sgd(network, update), GetParam(), 1, 1.0), kSumOrder) << network;
    }
  }
}

TEST_P(MicroBatch, TenStepsAreThoseOfTheBatch) {
  for (const char* network :
       {"mobilenet_small.onnx", "resnet_small.onnx", "transformer_small.onnx"}) {
    EXPECT_LT(difference(sgd(network, Update::kFull, 0.9f), GetParam(), 10, 0.003), kTenSteps)
        << network;
  }
}

// The masks are those of the whole batch, whatever it is cut into.
TEST_P(MicroBatch, DropoutIsThatOfTheBatch) {
  Recipe recipe = sgd("mobilenet_small.onnx", Update::kFull);
  recipe.dropout = 0.5f;
  EXPECT_LT(difference(recipe, GetParam(), 1, 1.0), kSumOrder);
}

// The norm that is clipped is that of the gradient of the batch.
TEST_P(MicroBatch, ClippingIsThatOfTheBatch) {
  Recipe recipe = sgd("mobilenet_small.onnx", Update::kFull);
  recipe.optimizer.clip_norm = 0.1f;
  EXPECT_LT(difference(recipe, GetParam(), 1, 10.0), kSumOrder);
}

// Adam divides each gradient by its own size: where that is nothing but rounding, so is its step.
TEST_P(MicroBatch, AdamIsNear) {
  const Recipe recipe{.update = Update::kBias};
  EXPECT_LT(difference(recipe, GetParam(), 10, 0.01), 1e-3);
}

TEST_P(MicroBatch, ARealNetworkToo) {
  const char* data = std::getenv("TINYTL_DATA");
  if (data == nullptr) GTEST_SKIP() << "TINYTL_DATA is not set";
  const fs::path model = fs::path(data) / "models" / "mbv2-w0.35_imagenet128_fp32.onnx";
  EXPECT_LT(difference(sgd(model, Update::kBias), GetParam(), 1, 1.0), kSumOrder);
  EXPECT_LT(difference(sgd(model, Update::kFull), GetParam(), 1, 1.0), kSumOrder);
}

INSTANTIATE_TEST_SUITE_P(Sizes, MicroBatch, testing::Values(1, 2, 4));

TEST(MicroBatches, NeedTheMemoryOfOnePart) {
  const Prepared whole = prepare({.batch = 8}), parts = prepare({.batch = 8, .micro_batch = 1});
  EXPECT_LT(3 * parts.session->memory().arena, whole.session->memory().arena);
  EXPECT_EQ(parts.session->batch_size(), 8);
  EXPECT_EQ(parts.session->micro_batch_size(), 1);
}

class MicroBatchRun : public testing::Test {
 protected:
  MicroBatchRun() { data.damaged = {3, 7}; }
  Recipe recipe(int64_t micro_batch) const {
    return {.optimizer = {.kind = OptimizerOptions::Kind::kSgd, .accumulation_steps = 2},
            .dropout = 0.3f,
            .batch = 4,
            .micro_batch = micro_batch};
  }
  TrainerOptions options() const {
    TrainerOptions o{
        .epochs = 2, .seed = 9, .save = folder / "learnt", .checkpoint = folder / "checkpoint"};
    o.rates = {0.05, 0.01};
    o.augment.brightness = 0.2;
    return o;
  }

  TempFolder folder;
  ColourDataset data{5, 1}, val{3, 2};  // three steps of four an epoch, three samples left over
};

// Samples, their order, augmentation and replacements, steps, rates: everything is the same.
TEST_F(MicroBatchRun, IsTheRunOfTheBatch) {
  const Recipe whole_recipe = recipe(0);
  Prepared whole = prepare(whole_recipe);
  const std::vector<double> start = numbers(*whole.session);
  const TrainingResult expected = train(whole, data, &val, options());
  for (const int64_t micro_batch : {1, 2}) {
    Prepared parts = prepare(recipe(micro_batch));
    std::vector<Progress> steps;
    const TrainingResult result =
        train(parts, data, &val, options(),
              {.on_step = [&](const Progress& p) { steps.push_back(p); }, .on_epoch = {}});
    EXPECT_EQ(result.damaged, expected.damaged);
    EXPECT_EQ(parts.session->updates, whole.session->updates);
    EXPECT_EQ(result.allocations_in_step, 0u);
    ASSERT_EQ(steps.size(), 6u);
    EXPECT_EQ(steps.back().steps, 3);
    ASSERT_EQ(result.epochs.size(), expected.epochs.size());
    for (size_t e = 0; e < result.epochs.size(); ++e) {
      EXPECT_NEAR(result.epochs[e].loss, expected.epochs[e].loss, 1e-5);
      EXPECT_EQ(result.epochs[e].train_top1, expected.epochs[e].train_top1);
      EXPECT_NEAR(result.epochs[e].val_loss, expected.epochs[e].val_loss, 1e-5);
    }
    EXPECT_LT(distance(numbers(*parts.session), numbers(*whole.session)) /
                  distance(numbers(*whole.session), start),
              kTenSteps);
  }
}

TEST_F(MicroBatchRun, ResumesToTheSameBits) {
  Prepared whole = prepare(recipe(2));
  train(whole, data, &val, options());
  const std::string end = bytes_of(whole.session->trained()) + bytes_of(whole.session->state());
  fs::remove(options().checkpoint);
  TrainerOptions o = options();
  o.max_steps = 1;
  for (int piece = 0; piece < 6; ++piece) {
    Prepared prepared = prepare(recipe(2));
    train(prepared, data, &val, o);
    o.resume = true;
    if (piece < 5) continue;
    EXPECT_TRUE(bytes_of(prepared.session->trained()) + bytes_of(prepared.session->state()) == end);
  }
}

TEST_F(MicroBatchRun, AnotherMicroBatchIsRefusedOnResume) {
  Prepared first = prepare(recipe(2));
  train(first, data, &val, options());
  TrainerOptions o = options();
  o.resume = true;
  Prepared second = prepare(recipe(1));
  EXPECT_THAT(error_of([&] { train(second, data, &val, o); }),
              testing::AllOf(HasSubstr("--micro-batch 2"), HasSubstr("this run has 1")));
}

}  // namespace
}  // namespace tinytl

// Training and evaluation with layers in XNNPACK.

#include "engine/onnx/import.h"
#include "tests/train/support.h"
#include "tinytl/train/fit_budget.h"
#include "tinytl/train/process_memory.h"

namespace tinytl {
namespace {

constexpr int64_t kBatch = 4;

std::unique_ptr<Session> session_of(Update update, std::optional<size_t> xnnpack_within) {
  const Loss loss{.kind = Loss::Kind::kSoftmaxCrossEntropy, .label_smoothing = 0.1f};
  const FittedClassifier network = fit_classifier(golden_network(kBatch), /*classes=*/3,
                                                  {.head = "", .replace = false, .seed = 5});
  TrainingGraph training = append_updates(
      differentiate(network.graph, loss, make_scheme(network.graph, update, network.parameters)),
      {});
  return std::make_unique<Session>(
      std::move(training), network.graph, loss,
      SessionOptions{.micro_batches = 1, .xnnpack_within = xnnpack_within});
}

Batch first_batch(const Dataset& data, const Session& session) {
  LoaderOptions options = loader_for(session.input_type(), /*training=*/false);
  options.batch_size = kBatch;
  Loader loader(data, options);
  Batch batch;
  EXPECT_TRUE(loader.next(batch));
  return batch;
}

class XnnpackSession : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_xnnpack()) GTEST_SKIP() << "built without XNNPACK (Debian: libxnnpack-dev)";
  }
};

TEST_F(XnnpackSession, LearnsTheSame) {
  const ColourDataset data(4, 1);
  for (const Update update : {Update::kLast, Update::kBias, Update::kFull}) {
    const auto own = session_of(update, std::nullopt), moved = session_of(update, SIZE_MAX);
    const Batch batch = first_batch(data, *own);
    for (int step = 0; step < 10; ++step) {
      const double expected = own->train_step(batch, {}, {}, 1).loss;
      EXPECT_NEAR(moved->train_step(batch, {}, {}, 1).loss, expected, 1e-4) << "step " << step;
    }
    const auto scores = own->inference().predict(batch, {});
    const auto others = moved->inference().predict(batch, {});
    for (size_t i = 0; i < scores.size(); ++i) EXPECT_NEAR(others[i], scores[i], 1e-3);
  }
}

TEST_F(XnnpackSession, CountsItsBytesAndAllocatesNothingInAStep) {
  const ColourDataset data(4, 1);
  ASSERT_EQ(xnnpack_bytes(), 0u);
  size_t without = 0;
  {
    const auto session = session_of(Update::kBias, std::nullopt);
    without = session->memory().training_memory();
    EXPECT_EQ(session->memory().xnnpack, 0u);
    EXPECT_EQ(xnnpack_bytes(), 0u);
  }
  for (const size_t room : {SIZE_MAX - without, size_t{20000}, size_t{0}}) {
    const auto session = session_of(Update::kBias, without + room);
    const MemoryReport& memory = session->memory();
    EXPECT_EQ(memory.xnnpack, xnnpack_bytes());
    EXPECT_LE(memory.xnnpack, room);
    EXPECT_EQ(memory.training_memory(), without + memory.xnnpack);
    const Batch batch = first_batch(data, *session);
    const uint64_t before = allocations_of_this_thread();
    for (int step = 0; step < 3; ++step) {
      session->train_step(batch, {}, {}, 1);
      session->inference().predict(batch, {});
    }
    EXPECT_EQ(allocations_of_this_thread() - before, 0u);
    EXPECT_EQ(memory.xnnpack, xnnpack_bytes());
  }
  EXPECT_EQ(xnnpack_bytes(), 0u);
}

// What trains is read where it is, by training and by evaluation.
TEST_F(XnnpackSession, EvaluationSeesWhatWasLearnt) {
  const ColourDataset data(4, 1);
  const auto session = session_of(Update::kBias, SIZE_MAX);
  const Batch batch = first_batch(data, *session);
  const auto before = session->inference().predict(batch, {});
  const std::vector<float> scores(before.begin(), before.end());
  for (int step = 0; step < 3; ++step) session->train_step(batch, {}, {0.1, 0.1}, 1);
  const auto after = session->inference().predict(batch, {});
  EXPECT_FALSE(std::ranges::equal(scores, after));
}

}  // namespace
}  // namespace tinytl

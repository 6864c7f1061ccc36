// --micro-batch: what it does to the plan, what it refuses; and measured memory against planned.

#include <unistd.h>

#include <cstdlib>

#include "tests/cli/support.h"

namespace tinytl {
namespace {

using testing::HasSubstr;

class MicroBatch : public CliTest {
 protected:
  Json plan(const Words& flags) const {
    Words command = {TINYTL_PLAN,    "--model", model,      "--classes", "3",
                     "--batch-size", "4",       "--report", "plan.json"};
    command.insert(command.end(), flags.begin(), flags.end());
    const Output output = run(command);
    EXPECT_EQ(output.exit_code, 0) << output.err;
    return json_of("plan.json");
  }
};

TEST_F(MicroBatch, IsSaidReportedAndPlanned) {
  const Output output = train({"--micro-batch", "1", "--max-steps", "2", "--report", "r.json"});
  ASSERT_EQ(output.exit_code, 0) << output.err;
  EXPECT_THAT(output.out, HasSubstr("batch 4 as 4 x 1"));
  const Json report = json_of("r.json");
  EXPECT_EQ(report.at("batch_size"), 4);
  EXPECT_EQ(report.at("micro_batch_size"), 1);
  EXPECT_EQ(report.at("allocations_in_step"), 0);
  const Json parts = plan({"--micro-batch", "1"}), whole = plan({"--micro-batch", "4"});
  EXPECT_EQ(parts.at("training_memory_bytes"), report.at("training_memory_bytes"));
  EXPECT_EQ(whole.at("micro_batch_size"), 4);
  EXPECT_LT(2 * parts.at("arena_bytes").get<size_t>(), whole.at("arena_bytes").get<size_t>());
  EXPECT_GT(parts.at("optimizer_bytes"), whole.at("optimizer_bytes")) << "sums of gradients";
}

TEST_F(MicroBatch, AutoNeedsTheLeastMemoryThatCostsNoTime) {
  std::vector<std::pair<double, size_t>> plans;  // each predicted in a run of its own, so roughly
  for (const char* size : {"1", "2", "4"}) {
    const Json json = plan({"--micro-batch", size});
    plans.emplace_back(json.at("predicted_step_seconds"), json.at("training_memory_bytes"));
  }
  const double fastest = std::ranges::min(plans).first;
  const size_t chosen = plan({}).at("training_memory_bytes");
  bool found = false;
  for (const auto& [seconds, bytes] : plans) {
    found = found || bytes == chosen;
    if (bytes == chosen) {
      EXPECT_LT(seconds, 2 * fastest);
    }
  }
  EXPECT_TRUE(found);
  EXPECT_EQ(plan({"--micro-batch", "auto"}).at("training_memory_bytes"), chosen);
}

TEST_F(MicroBatch, MustDivideTheBatch) {
  for (const char* size : {"3", "8"}) {
    const Output output = train({"--micro-batch", size});
    EXPECT_EQ(output.exit_code, 2);
    EXPECT_THAT(output.err, HasSubstr("--micro-batch " + std::string(size) +
                                      " does not divide --batch-size 4"));
  }
  for (const char* size : {"0", "-1", "1.5", "some", "99999999999999999999"}) {
    EXPECT_EQ(train({"--micro-batch", size}).exit_code, 2) << size;
  }
}

// y = x - mean of x over the batch, then a classifier.
TEST_F(MicroBatch, NetworkThatMixesSamplesIsRefused) {
  onnx::ModelProto network = empty_model({3, 8, 8});
  onnx::NodeProto& mean = add_node(network, "ReduceMean", {"x"}, "m");
  onnx::AttributeProto& axes = *mean.add_attribute();
  axes.set_name("axes");
  axes.set_type(onnx::AttributeProto::INTS);
  axes.add_ints(0);
  add_node(network, "Sub", {"x", "m"}, "d");
  add_weights(network, "w", {4, 3, 3, 3});
  add_node(network, "Conv", {"d", "w"}, "h");
  add_node(network, "GlobalAveragePool", {"h"}, "p");
  add_node(network, "Flatten", {"p"}, "y");
  write_model(folder / "mixes.onnx", network);
  EXPECT_THAT(train({"--model", "mixes.onnx", "--micro-batch", "2"}),
              fails_with(3, {"mixes.onnx", "ReduceMean_m", "(ReduceMean)", "--micro-batch 4"}));
  EXPECT_EQ(train({"--model", "mixes.onnx", "--micro-batch", "4"}).exit_code, 0);
  EXPECT_EQ(train({"--model", "mixes.onnx", "--report", "r.json"}).exit_code, 0);
  EXPECT_EQ(json_of("r.json").at("micro_batch_size"), 4) << "auto leaves such a batch whole";
}

TEST_F(MicroBatch, ResumingNeedsTheSame) {
  ASSERT_EQ(train({"--micro-batch", "2", "--max-steps", "2"}).exit_code, 0);
  EXPECT_THAT(train({"--resume"}), fails_with(3, {"--micro-batch 2", "this run has 4"}));
  EXPECT_EQ(train({"--micro-batch", "2", "--resume"}).exit_code, 0);
}

TEST_F(MicroBatch, ChoosesRatesToo) {
  const Output output =
      train({"--micro-batch", "2", "--lr", "auto", "--epochs", "2", "--accumulate", "2"});
  EXPECT_EQ(output.exit_code, 0) << output.err;
  EXPECT_THAT(output.out, HasSubstr("batch 4 as 2 x 2, 2 batches an update"));
}

// The promise of every plan: what the process grows by is what was announced, within 3 % and 1 MB.
TEST_F(MicroBatch, MeasuredMemoryIsThePlanned) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer needs memory of its own";
#endif
  const char* data = std::getenv("TINYTL_DATA");
  if (data == nullptr) GTEST_SKIP() << "TINYTL_DATA is not set";
  const std::string root = data;
  const Words cases[] = {
      {"mlperf_ic_resnet8_cifar10", "cifar10_sub", "--update", "bias", "--mean", "0", "--std", "1"},
      {"mlperf_ic_resnet8_cifar10", "cifar10_sub", "--update", "full", "--micro-batch", "2"},
      {"mbv2-w0.35_imagenet128", "flowers17", "--update", "full"}};
  for (const Words& one : cases) {
    Words command = {TINYTL_TRAIN,
                     "--model",
                     root + "/models/" + one[0] + "_fp32.onnx",
                     "--data",
                     root + "/datasets/" + one[1],
                     "--max-steps",
                     "20",
                     "--report",
                     "r.json"};
    command.insert(command.end(), one.begin() + 2, one.end());
    const Output output = run(command);
    ASSERT_EQ(output.exit_code, 0) << output.err;
    const Json report = json_of("r.json");
    const double planned = report.at("training_memory_bytes");
    EXPECT_LE(report.at("measured_peak_rss_bytes").get<double>(), 1.03 * planned + 1e6) << output;
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    EXPECT_LE(report.at("measured_arena_bytes").get<size_t>(),
              (report.at("arena_bytes").get<size_t>() + page - 1) / page * page);
  }
}

}  // namespace
}  // namespace tinytl

// What tinytl-train and tinytl-plan report: the keys other programs rely on.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/cli/support.h"

namespace tinytl {
namespace {

using testing::HasSubstr;

const Words kPlannedKeys = {"arena_bytes",     "lower_bound_bytes", "trainable_bytes",
                            "optimizer_bytes", "frozen_bytes",      "training_memory_bytes"};

class Report : public CliTest {};

TEST_F(Report, HasEveryKeyOfTheDesign) {
  const Output output = train({"--report", "report.json", "--seed", "7"});
  ASSERT_EQ(output.exit_code, 0) << output.err;
  const Json report = json_of("report.json");
  EXPECT_EQ(report.at("model"), "mobilenet_small.onnx");
  EXPECT_EQ(report.at("update"), "bias");
  EXPECT_EQ(report.at("batch_size"), 4);
  EXPECT_EQ(report.at("seed"), 7);
  Words bytes = kPlannedKeys;
  bytes.insert(bytes.end(),
               {"measured_arena_bytes", "measured_peak_rss_bytes", "allocations_in_step"});
  for (const std::string& key : bytes) EXPECT_TRUE(report.at(key).is_number_unsigned()) << key;
  EXPECT_EQ(report.at("training_memory_bytes").get<int>(),
            report.at("arena_bytes").get<int>() + report.at("trainable_bytes").get<int>() +
                report.at("optimizer_bytes").get<int>() + report.at("frozen_bytes").get<int>());
  EXPECT_GE(report.at("arena_bytes"), report.at("lower_bound_bytes"));
  EXPECT_EQ(report.at("allocations_in_step"), 0);
  EXPECT_GT(report.at("step_seconds_median").get<double>(), 0);
  ASSERT_EQ(report.at("epochs").size(), 2u);
  for (const Json& epoch : report.at("epochs")) {
    EXPECT_TRUE(epoch.at("loss").is_number_float());
    EXPECT_TRUE(epoch.at("val_top1").is_number());
    EXPECT_TRUE(epoch.at("seconds").is_number_float());
  }
  const double top1 = report.at("val_top1");
  EXPECT_GE(top1, 0);
  EXPECT_LE(top1, 1);
}

TEST_F(Report, WithoutValidationThereIsNoAccuracy) {
  const Output output = run({TINYTL_TRAIN, "--model", model, "--synthetic", "--classes", "7",
                             "--max-steps", "3", "--report", "report.json"});
  ASSERT_EQ(output.exit_code, 0) << output.err;
  const Json report = json_of("report.json");
  EXPECT_EQ(report.at("classes"), 7);
  EXPECT_TRUE(report.at("val_top1").is_null());
  EXPECT_FALSE(std::filesystem::exists(folder / "learnt.safetensors"));
}

TEST_F(Report, PlanIsWhatTrainingUses) {
  for (const Words& flags :
       {Words{"--update", "last"}, Words{"--update", "bias", "--dropout", "0.2"},
        Words{"--update", "full", "--accumulate", "2"},
        Words{"--optimizer", "sgd", "--momentum", "0"}}) {
    Words plan = {TINYTL_PLAN,    "--model", model,      "--classes", "3",
                  "--batch-size", "4",       "--report", "plan.json"};
    plan.insert(plan.end(), flags.begin(), flags.end());
    ASSERT_EQ(run(plan).exit_code, 0);
    Words training = train_command({"--report", "report.json", "--max-steps", "1"});
    std::erase(training, "--freeze-weights");
    training.insert(training.end(), flags.begin(), flags.end());
    ASSERT_EQ(run(training).exit_code, 0);
    const Json planned = json_of("plan.json"), used = json_of("report.json");
    for (const auto& [key, value] : planned.items()) {
      if (key == "predicted_step_seconds") continue;  // by the speed that each command measured
      EXPECT_EQ(used.at(key), value) << key;
    }
    for (const std::string& key : kPlannedKeys) EXPECT_TRUE(planned.contains(key)) << key;
    // Whole pages are counted, and every block begins on one.
    constexpr size_t kPage = 4096;
    EXPECT_LE(used.at("measured_arena_bytes").get<size_t>(),
              planned.at("arena_bytes").get<size_t>() + kPage);
  }
}

TEST_F(Report, GoesToAPipeWithoutReplacingIt) {
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  const int pipe = open((folder / "pipe").c_str(), O_RDWR | O_NONBLOCK);
  const Output output = train({"--report", "pipe"});
  EXPECT_EQ(output.exit_code, 0) << output.err;
  EXPECT_TRUE(std::filesystem::is_fifo(folder / "pipe"));
  std::string text(65536, ' ');
  const ssize_t bytes = read(pipe, text.data(), text.size());
  close(pipe);
  ASSERT_GT(bytes, 0);
  EXPECT_TRUE(Json::parse(text.substr(0, static_cast<size_t>(bytes))).contains("val_top1"));
}

TEST_F(Report, MaxStepsStopsAndSaves) {
  const Output output = train({"--max-steps", "3", "--report", "report.json"});
  EXPECT_EQ(output.exit_code, 0);
  EXPECT_EQ(json_of("report.json").at("epochs").size(), 0u);
  EXPECT_TRUE(std::filesystem::exists(folder / "learnt.safetensors"));
}

TEST_F(Report, ChosenRatesAreSaidAndUsed) {
  const Output output = train({"--lr", "auto", "--epochs", "3", "--report", "report.json"});
  ASSERT_EQ(output.exit_code, 0) << output.err;
  EXPECT_THAT(output.out, HasSubstr("choosing learning rates on a part of the training set"));
  EXPECT_THAT(output.out, HasSubstr("of the training set)"));
  const Json chosen = json_of("report.json");
  EXPECT_GT(chosen.at("head_learning_rate").get<double>(), 0);

  // Stopped after two steps and resumed: the chosen rates again, and the same bits.
  const Bytes whole = learnt_bytes(folder / "learnt.safetensors");
  ASSERT_EQ(train({"--lr", "auto", "--epochs", "3", "--max-steps", "2"}).exit_code, 0);
  const Output rest =
      train({"--lr", "auto", "--epochs", "3", "--resume", "--report", "report.json"});
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_EQ(json_of("report.json").at("head_learning_rate"), chosen.at("head_learning_rate"));
  EXPECT_TRUE(learnt_bytes(folder / "learnt.safetensors") == whole);
}

}  // namespace
}  // namespace tinytl

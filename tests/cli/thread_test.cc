// --threads: what it accepts, that it changes no result, and that plans count it.

#include "tests/cli/support.h"

namespace tinytl {
namespace {

class Threads : public CliTest {
 protected:
  void SetUp() override {
    const Output output = run({TINYTL_PLAN, "--model", model, "--threads", "2"});
    if (output.err.find("pthreadpool") != std::string::npos) {
      GTEST_SKIP() << "this build has no pthreadpool";
    }
    ASSERT_EQ(output.exit_code, 0) << output.err;
  }
};

TEST_F(Threads, LearnTheSameBits) {
  const auto learnt = [&](const std::string& threads, const std::string& file) {
    const Words flags{"--micro-batch", "4",  "--threads", threads,
                      "--save",        file, "--report",  file + ".json"};
    const Output output = train(flags);
    EXPECT_EQ(output.exit_code, 0) << output.err;
    EXPECT_EQ(json_of(file + ".json").at("threads"), std::stoi(threads));
    EXPECT_EQ(json_of(file + ".json").at("allocations_in_step"), 0);
    return learnt_bytes(folder / file);
  };
  const Bytes one = learnt("1", "one");
  EXPECT_TRUE(learnt("2", "two") == one);
  EXPECT_TRUE(learnt("3", "three") == one);
}

TEST_F(Threads, ARunMayGoOnWithAnotherNumber) {
  ASSERT_EQ(train({"--micro-batch", "4", "--save", "whole"}).exit_code, 0);
  ASSERT_EQ(train({"--micro-batch", "4", "--max-steps", "3", "--threads", "2"}).exit_code, 0);
  ASSERT_EQ(train({"--micro-batch", "4", "--resume"}).exit_code, 0);
  EXPECT_TRUE(learnt_bytes(folder / "learnt.safetensors") == learnt_bytes(folder / "whole"));
}

TEST_F(Threads, EvaluateAndPredictTheSame) {
  ASSERT_EQ(train({}).exit_code, 0);
  const Words commands[] = {
      {TINYTL_EVAL, "--model", model, "--learnt", "learnt.safetensors", "--data", "photos"},
      {TINYTL_PREDICT, "--model", model, "--learnt", "learnt.safetensors", "photos/val/red/8.png"}};
  for (Words command : commands) {
    const Output one = run(command);
    command.insert(command.end(), {"--threads", "2"});
    const Output two = run(command);
    EXPECT_EQ(two.exit_code, 0) << two.err;
    if (command[0] == TINYTL_PREDICT) {
      EXPECT_EQ(two.out, one.out);
    }
  }
}

TEST_F(Threads, AreCountedByPlansAndBudgets) {
  const auto plan = [&](const Words& flags) {
    Words command{TINYTL_PLAN, "--model",  model,       "--batch-size",  "8", "--update",
                  "full",      "--report", "plan.json", "--micro-batch", "8"};
    command.insert(command.end(), flags.begin(), flags.end());
    return run(command);
  };
  ASSERT_EQ(plan({}).exit_code, 0);
  const Json one = json_of("plan.json");
  ASSERT_EQ(plan({"--threads", "4"}).exit_code, 0);
  const Json four = json_of("plan.json");
  EXPECT_EQ(four.at("threads"), 4);
  EXPECT_GE(four.at("arena_bytes"), one.at("arena_bytes"));
  // The smallest plan that a budget search names is one it can make.
  const Output refused = plan({"--threads", "4", "--arena-budget", "1KB"});
  ASSERT_EQ(refused.exit_code, 4) << refused;
  const std::string marker = "planned in is ";
  const size_t at = refused.err.find(marker);
  ASSERT_NE(at, std::string::npos) << refused.err;
  const std::string least = std::to_string(std::stoul(refused.err.substr(at + marker.size())));
  EXPECT_EQ(plan({"--threads", "4", "--arena-budget", least}).exit_code, 0);
}

TEST_F(Threads, AutoIsTheNumberOfProcessors) {
  ASSERT_EQ(
      run({TINYTL_PLAN, "--model", model, "--threads", "auto", "--report", "plan.json"}).exit_code,
      0);
  EXPECT_GE(json_of("plan.json").at("threads"), 1);
}

TEST_F(Threads, ImpossibleNumbersAreRefused) {
  for (const char* number : {"0", "-1", "65", "many", "1.5", ""}) {
    EXPECT_EQ(train({"--threads", number}).exit_code, 2) << number;
    EXPECT_EQ(
        run({TINYTL_EVAL, "--model", model, "--data", "photos", "--threads", number}).exit_code, 2);
  }
}

}  // namespace
}  // namespace tinytl

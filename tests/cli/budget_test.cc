// --memory-budget and --arena-budget: what they refuse, what they do to the plan, that they are
// kept in training.

#include "tests/cli/support.h"

namespace tinytl {
namespace {

using testing::HasSubstr;

class BudgetFlags : public CliTest {
 protected:
  Words plan_command(const Words& flags) const {
    Words command = {TINYTL_PLAN,    "--model", model,      "--classes", "3",
                     "--batch-size", "4",       "--report", "plan.json"};
    command.insert(command.end(), flags.begin(), flags.end());
    return command;
  }
  Json plan(const Words& flags) const {
    const Output output = run(plan_command(flags));
    EXPECT_EQ(output.exit_code, 0) << output.err;
    return json_of("plan.json");
  }
  // What a plan that cannot be made names as the smallest.
  size_t smallest(Words flags, const std::string& flag) const {
    flags.insert(flags.end(), {flag, "1"});
    const Output output = run(plan_command(flags));
    EXPECT_THAT(output, fails_with(4, {flag + " 1: ", "the smallest"}));
    const std::string before = "can be planned in is ";
    const size_t at = output.err.find(before);
    return at == std::string::npos ? 0 : std::stoull(output.err.substr(at + before.size()));
  }
};

TEST_F(BudgetFlags, AreBytesWithAUnit) {
  for (const std::string flag : {"--memory-budget", "--arena-budget"}) {
    for (const char* text : {"much", "-1", "0", "0.5", "12XB", "1e99MB", "MB", "1.2.3MB"}) {
      const Output output = run(plan_command({flag, text}));
      EXPECT_EQ(output.exit_code, 2) << flag << " " << text << "\n" << output;
      EXPECT_THAT(output.err, HasSubstr(flag)) << text;
    }
    for (const char* text :
         {"100MB", "100 MB", "100mb", "96MiB", "0.1GB", "100000KB", "100000000"}) {
      EXPECT_EQ(run(plan_command({flag, text})).exit_code, 0) << flag << " " << text;
    }
  }
}

TEST_F(BudgetFlags, OfTwoTheOneThatIsNotMetIsNamed) {
  EXPECT_THAT(run(plan_command({"--memory-budget", "100MB", "--arena-budget", "1KB"})),
              fails_with(4, {"--arena-budget 1KB: the smallest"}));
  EXPECT_THAT(run(plan_command({"--memory-budget", "1KB", "--arena-budget", "100MB"})),
              fails_with(4, {"--memory-budget 1KB: the smallest"}));
}

TEST_F(BudgetFlags, TheSmallestThatIsNamedWorks) {
  const std::pair<std::string, std::string> flags[] = {{"--memory-budget", "training_memory_bytes"},
                                                       {"--arena-budget", "arena_bytes"}};
  for (const auto& [flag, key] : flags) {
    for (const Words& more : {Words{}, Words{"--update", "full"}, Words{"--dropout", "0.2"},
                              Words{"--update", "full", "--accumulate", "3"},
                              Words{"--micro-batch", "2"}, Words{"--micro-batch", "4"}}) {
      SCOPED_TRACE(flag + " " + testing::PrintToString(more));
      const size_t bytes = smallest(more, flag);
      Words words = more;
      words.insert(words.end(), {flag, std::to_string(bytes)});
      EXPECT_LE(plan(words).at(key).get<size_t>(), bytes);
      words.back() = std::to_string(bytes - 1);
      EXPECT_THAT(run(plan_command(words)),
                  fails_with(4, {flag, "is " + std::to_string(bytes) + " bytes"}));
    }
  }
}

TEST_F(BudgetFlags, AreReportedLeverByLever) {
  const size_t bytes = smallest({"--update", "full"}, "--arena-budget");
  const Json report = plan({"--update", "full", "--arena-budget", std::to_string(bytes)});
  EXPECT_EQ(report.at("micro_batch_size"), 1);
  EXPECT_GT(report.at("regions_in_pieces").get<int>() + report.at("values_recomputed").get<int>(),
            0);
  const Json& levers = report.at("levers");
  ASSERT_GE(levers.size(), 3u);
  EXPECT_EQ(levers[0].at("lever"), "no lever");
  EXPECT_EQ(levers[1].at("lever"), "micro-batches of 1");
  for (const char* key : {"arena_bytes", "training_memory_bytes"}) {
    EXPECT_EQ(levers.back().at(key), report.at(key));
  }
  EXPECT_EQ(levers[0].at("arena_bytes"), plan({"--update", "full"}).at("arena_bytes"));
  EXPECT_GT(report.at("predicted_step_seconds").get<double>(), 0);
  EXPECT_TRUE(plan({"--update", "full"}).at("levers").empty());
}

TEST_F(BudgetFlags, LeaveAMicroBatchThatIsGiven) {
  for (const char* size : {"1", "2", "4"}) {
    const size_t bytes = smallest({"--micro-batch", size}, "--memory-budget");
    const Json report =
        plan({"--micro-batch", size, "--memory-budget", std::to_string(bytes + bytes / 8)});
    EXPECT_EQ(report.at("micro_batch_size"), std::stoi(size));
  }
}

TEST_F(BudgetFlags, TrainingKeepsToThemAndLearnsTheSame) {
  const Words flags = {"--epochs", "6", "--optimizer", "sgd", "--no-augment", "--report", "r.json"};
  ASSERT_EQ(train(flags).exit_code, 0);
  const Json free = json_of("r.json");
  const size_t bytes = smallest({"--optimizer", "sgd"}, "--memory-budget");
  ASSERT_LT(bytes, free.at("training_memory_bytes").get<size_t>());
  Words tight = flags;
  tight.insert(tight.end(), {"--memory-budget", std::to_string(bytes)});
  const Output output = train(tight);
  ASSERT_EQ(output.exit_code, 0) << output.err;
  EXPECT_THAT(output.out, HasSubstr("memory budget, met by"));
  const Json report = json_of("r.json");
  EXPECT_LE(report.at("training_memory_bytes").get<size_t>(), bytes);
  EXPECT_EQ(report.at("allocations_in_step"), 0);
  EXPECT_EQ(report.at("val_top1"), free.at("val_top1"));
  for (size_t i = 0; i < free.at("epochs").size(); ++i) {
    EXPECT_NEAR(report.at("epochs")[i].at("loss").get<double>(),
                free.at("epochs")[i].at("loss").get<double>(), 1e-4);
  }
}

TEST_F(BudgetFlags, ResumingNeedsTheSame) {
  ASSERT_EQ(train({"--memory-budget", "1MB", "--max-steps", "2"}).exit_code, 0);
  EXPECT_THAT(train({"--memory-budget", "2MB", "--resume"}),
              fails_with(3, {"--memory-budget 1MB", "a resumed run needs the same"}));
  EXPECT_THAT(train({"--resume"}), fails_with(3, {"--memory-budget 1MB"}));
  EXPECT_EQ(train({"--memory-budget", "1MB", "--resume"}).exit_code, 0);
}

}  // namespace
}  // namespace tinytl

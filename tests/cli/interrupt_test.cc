// Ctrl-C and kill -9 in the middle of training, then --resume: the same bits as without.

#include <signal.h>

#include "tests/cli/support.h"

namespace tinytl {
namespace {

using testing::HasSubstr;

class Interrupt : public CliTest {
 protected:
  // Long enough to be interrupted, different in every step.
  Words long_run(const Words& more = {}) const {
    Words flags = {"--epochs", "40", "--dropout", "0.2", "--accumulate", "2", "--jitter", "0.2"};
    flags.insert(flags.end(), more.begin(), more.end());
    return train_command(flags);
  }
  void run_whole() {
    const Output output = run(long_run({"--save", "whole"}));
    ASSERT_EQ(output.exit_code, 0) << output.err;
  }
  void expect_same_bits() const {
    EXPECT_TRUE(read_file(folder / "learnt.safetensors") == read_file(folder / "whole"));
    // Of checkpoints, the header holds times.
    EXPECT_TRUE(learnt_bytes(folder / "learnt.safetensors.checkpoint") ==
                learnt_bytes(folder / "whole.checkpoint"));
  }
};

TEST_F(Interrupt, SameSeedGivesTheSameFile) {
  run_whole();
  ASSERT_EQ(run(long_run()).exit_code, 0);
  expect_same_bits();
}

TEST_F(Interrupt, CtrlCSavesAndSaysHowToResume) {
  run_whole();
  for (const int signal : {SIGINT, SIGTERM}) {
    Process process(long_run(), folder.path());
    ASSERT_TRUE(process.wait_for("epoch  3/40"));
    process.send(signal);
    const Output output = process.wait();
    EXPECT_EQ(output.exit_code, 130);
    EXPECT_THAT(output.out, HasSubstr("run the same command with --resume"));
    const Output rest = run(long_run({"--resume"}));
    EXPECT_EQ(rest.exit_code, 0) << rest.err;
    expect_same_bits();
  }
}

TEST_F(Interrupt, KilledAndResumed) {
  run_whole();
  for (const char* moment : {"epoch  1/40", "epoch 15/40"}) {
    Process process(long_run({"--checkpoint-steps", "1"}), folder.path());
    ASSERT_TRUE(process.wait_for(moment));
    process.send(SIGKILL);
    EXPECT_EQ(process.wait().exit_code, 128 + SIGKILL);
    const Output rest = run(long_run({"--resume"}));
    EXPECT_EQ(rest.exit_code, 0) << rest.err;
    expect_same_bits();
  }
}

TEST_F(Interrupt, WhileRatesAreChosenThereIsNothingToResume) {
  Process process(long_run({"--lr", "auto"}), folder.path());
  ASSERT_TRUE(process.wait_for("trial"));
  process.send(SIGINT);
  const Output output = process.wait();
  EXPECT_EQ(output.exit_code, 130);
  EXPECT_THAT(output.out, HasSubstr("interrupted before training"));
  EXPECT_FALSE(std::filesystem::exists(folder / "learnt.safetensors.checkpoint"));
}

TEST_F(Interrupt, ResumingAFinishedRunChangesNothing) {
  run_whole();
  ASSERT_EQ(run(long_run()).exit_code, 0);
  const Output again = run(long_run({"--resume"}));
  EXPECT_EQ(again.exit_code, 0) << again.err;
  expect_same_bits();
}

}  // namespace
}  // namespace tinytl

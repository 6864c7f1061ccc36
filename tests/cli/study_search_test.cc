// tinytl-study --search: what is tried, what is dropped, what is chosen.

#include <sys/stat.h>

#include "tests/cli/support.h"
#include "tests/cli/xml_defect.h"
#include "tinytl/cli/study_candidates.h"

namespace tinytl {
namespace {

using namespace cli;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Words = std::vector<std::string>;

// Memory and accuracy by method, resolution and setting: full is best and too large, 64 pixels of
// bias reach most of what fits, lite+bias runs only where it is asked for with levers.
constexpr const char* kFakeCommand = R"(#!/bin/sh
if [ "$1" = --help ]; then
  printf 'Options:\n  --model TEXT\n  --update TEXT\n  --resolution INT\n  --frozen-weights TEXT\n'
  printf '  --batch-size INT\n  --classes INT\n  --memory-budget TEXT\n  --report TEXT\n'
  case "$0" in *train) printf '  --hold-out FLOAT\n  --squash\n' ;; esac
  exit 0
fi
echo "$(basename "$0") $@" >> runs.txt
size=96 epochs=1 frozen=2
while [ $# -gt 0 ]; do
  case "$1" in
    --report) report="$2" ;;
    --update) method="$2" ;;
    --resolution) size="$2" ;;
    --epochs) epochs="$2" ;;
    --memory-budget) budget="$2" ;;
    --frozen-weights) frozen=1 ;;
  esac
  shift
done
case "$method" in last) m=1 a=30 ;; bias) m=2 a=40 ;; lite+bias) m=5 a=50 ;; full) m=90 a=90 ;; esac
bytes=$((m * size * 1000 + frozen * 1000))
if [ -n "$budget" ] && [ $method = full ]; then
  echo "tinytl-plan: --memory-budget $budget: the smallest is 1 MB" >&2; exit 4
fi
[ -n "$budget" ] && bytes=200000
top1=$(((a + (size - 64) / 8 + epochs) * 100 + frozen))
cat > "$report" <<END
{"batch_size": 8, "training_memory_bytes": $bytes, "arena_bytes": $bytes, "trainable_bytes": 0,
 "optimizer_bytes": 0, "frozen_bytes": 0, "measured_peak_rss_bytes": $bytes,
 "trainable_scalars": 1, "step_seconds_median": 0.002, "alive_bytes": [1], "backward_begins": 0,
 "epochs": [{"loss": 1.0, "val_top1": 0.$top1}]}
END
)";

class StudySearch : public CliTest {
 protected:
  StudySearch() {
    const std::string text = kFakeCommand;
    for (const char* name : {"fake/tinytl-train", "fake/tinytl-plan"}) {
      write_file(folder / name, Bytes(text.begin(), text.end()));
      chmod((folder / name).c_str(), 0755);
    }
  }
  Words command(const Words& more = {}) const {
    Words words{TINYTL_STUDY,      "--search",
                "--model",         "net.onnx",
                "--data",          "photos",
                "--memory-budget", "300kB",
                "--resolutions",   "64,128",
                "--out",           "out",
                "--train-command", path("fake/tinytl-train")};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  size_t runs(const std::string& name) const {
    size_t count = 0;
    std::istringstream lines(text_of("runs.txt"));
    for (std::string line; std::getline(lines, line);) count += line.starts_with(name + " ");
    return count;
  }
};

TEST_F(StudySearch, ChoosesTheMostAccurateThatFits) {
  const Output output = run(command({"--", "--squash"}));
  ASSERT_EQ(output.exit_code, 0) << output;
  // 2 resolutions x (last, bias, lite+bias with and without 8 bits, and full) = 14 candidates, of
  // which full drops out; 12 train, the better 6 and the best of last, and the better half of
  // those.
  EXPECT_EQ(runs("tinytl-train"), 12u + 7 + 4);
  EXPECT_THAT(output.out, AllOf(HasSubstr("14 candidates"), HasSubstr("full, 128 px: 11,522,000"),
                                HasSubstr("lite+bias, 128 px needs 200.0 kB")));
  const std::string last = output.out.substr(output.out.rfind('\n', output.out.size() - 2) + 1);
  EXPECT_EQ(
      last,
      "tinytl-train --model net.onnx --data photos --update lite+bias --seed 0 --batch-size 8 "
      "--resolution 128 --squash --memory-budget 300kB --epochs 15\n");
  EXPECT_THAT(text_of("runs.txt"), HasSubstr("--hold-out 0.2"));
  const std::string page = text_of("out/search.html");
  EXPECT_EQ(xml_defect(page.substr(page.find('\n'))), "");
  EXPECT_THAT(page, AllOf(Not(HasSubstr("src=")), HasSubstr("budget 300.0 kB")));
}

// Two epochs tell little of how far a method comes: none is out before it had five.
TEST_F(StudySearch, TheBestOfEachMethodComesIntoTheSecondRung) {
  ASSERT_EQ(run(command()).exit_code, 0);
  std::istringstream lines(text_of("runs.txt"));
  std::string again;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("--epochs 5") != std::string::npos) again += line + "\n";
  }
  for (const char* method : {"--update last ", "--update bias ", "--update lite+bias "}) {
    EXPECT_THAT(again, HasSubstr(method));
  }
}

TEST_F(StudySearch, FinishedRunsAreNotRunAgain) {
  const Output first = run(command());
  ASSERT_EQ(first.exit_code, 0) << first;
  const Output again = run(command());
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_EQ(runs("tinytl-train"), 23u);
  EXPECT_EQ(first.out.substr(first.out.rfind("held-out")),
            again.out.substr(again.out.rfind("held-out")));
}

TEST_F(StudySearch, ThePlannerIsNotGivenWhatOnlyTrainingKnows) {
  ASSERT_EQ(run(command({"--", "--squash"})).exit_code, 0);
  std::istringstream lines(text_of("runs.txt"));
  for (std::string line; std::getline(lines, line);) {
    const bool trains = line.starts_with("tinytl-train");
    for (const char* flag : {"--squash", "--seed", "--data", "--keep"}) {
      EXPECT_TRUE(trains || line.find(flag) == std::string::npos) << line;
    }
    EXPECT_EQ(line.find("--squash") != std::string::npos, trains);
    EXPECT_EQ(line.find("--classes 3") != std::string::npos, !trains);
  }
}

TEST_F(StudySearch, WhatCannotBeSearchedIsSaid) {
  EXPECT_EQ(run(command({"--seeds", "2"})).exit_code, 2);
  EXPECT_EQ(
      run({TINYTL_STUDY, "--search", "--out", "out", "--model", "m", "--data", "d"}).exit_code, 2);
  EXPECT_THAT(run(command({"--widths", "0.5"})), fails_with(3, {"has no --width"}));
  const Output none = run({TINYTL_STUDY, "--search", "--model", "net.onnx", "--data", "photos",
                           "--memory-budget", "300kB", "--methods", "full", "--out", "out",
                           "--train-command", path("fake/tinytl-train")});
  EXPECT_THAT(none, fails_with(3, {"--memory-budget 300kB", "no candidate fits"}));
}

TEST(StudyHelp, OptionsAreFoundByTheirWholeName) {
  const std::string help = "Options:\n  --width FLOAT  Channels\n  --resolutions INT\n";
  EXPECT_TRUE(lists_option(help, "--width"));
  EXPECT_FALSE(lists_option(help, "--resolution"));
  EXPECT_FALSE(lists_option(help, "--wid"));
  EXPECT_FALSE(lists_option(help, "Channels"));
}

}  // namespace
}  // namespace tinytl

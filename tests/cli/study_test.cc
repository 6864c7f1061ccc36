// tinytl-study: which runs there are, and that finished ones survive whatever happens.

#include <signal.h>
#include <sys/stat.h>

#include "engine/graph/error.h"
#include "tests/cli/support.h"
#include "tinytl/cli/study_grid.h"

namespace tinytl {
namespace {

using namespace cli;
using testing::AllOf;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::Not;
using Words = std::vector<std::string>;

TEST(StudyCsv, ReadsBackWhatItWrites) {
  const std::vector<CsvRecord> records{{"plain", "", "a,b"}, {"say \"x\"", "two\nlines", "end"}};
  std::string text;
  for (const CsvRecord& record : records) text += csv_line(record);
  const CsvContent content = parse_csv(text);
  EXPECT_EQ(content.records, records);
  EXPECT_EQ(content.complete_bytes, text.size());
}

TEST(StudyCsv, EveryCutLeavesTheRecordsBeforeIt) {
  const std::string first = csv_line({"a", "b\nc"}), second = csv_line({"d\"", "e,f"});
  const std::string text = first + second;
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    const CsvContent content = parse_csv(text.substr(0, cut));
    const size_t whole = cut >= text.size() ? 2 : cut >= first.size() ? 1 : 0;
    EXPECT_EQ(content.records.size(), whole) << cut;
    EXPECT_EQ(content.complete_bytes, whole == 2 ? text.size() : whole == 1 ? first.size() : 0);
  }
}

TEST(StudyCsv, ACutRecordIsRemovedBeforeTheNext) {
  const TempFolder folder;
  const CsvRecord columns{"x", "y"};
  { CsvLog(folder / "t.csv", columns).append({"1", "2"}); }
  const std::string whole = "x,y\n1,2\n";
  write_file(folder / "t.csv", Bytes(whole.begin(), whole.end()));
  const std::string cut = whole + "3,\"fo";
  write_file(folder / "t.csv", Bytes(cut.begin(), cut.end()));
  CsvLog log(folder / "t.csv", columns);
  EXPECT_THAT(log.records(), ElementsAre(CsvRecord{"1", "2"}));
  log.append({"5", "6"});
  const Bytes bytes = read_file(folder / "t.csv");
  EXPECT_EQ(std::string(bytes.begin(), bytes.end()), whole + "5,6\n");
}

TEST(StudyCsv, TablesWithOtherColumnsKeepTheirRows) {
  const TempFolder folder;
  { CsvLog(folder / "t.csv", {"x", "y"}).append({"1", "2"}); }
  CsvLog log(folder / "t.csv", {"y", "new", "x"});
  EXPECT_THAT(log.records(), ElementsAre(CsvRecord{"2", "", "1"}));
  log.append({"4", "5", "6"});
  EXPECT_EQ(CsvLog(folder / "t.csv", {"y", "new", "x"}).records().size(), 2u);
  EXPECT_THROW(CsvLog(folder / "t.csv", {"other"}), InputError);
}

TEST(StudyRows, ReadBackToTheSame) {
  StudyRow row;
  row.model = "net, \"a\"";
  row.method = "lite+bias";
  row.seed = 12345678901;
  row.loss = {0.1, 1.0 / 3, 1e-300};
  row.val_top1 = {0.25, 2.0 / 3};
  row.alive_bytes = {1, 18446744073709551615u};
  row.step_seconds_median = 0.0065219779999999995;
  EXPECT_EQ(from_record(to_record(row)), row);
  CsvRecord record = to_record(row);
  record[4] = "many";
  EXPECT_THROW(from_record(record), InputError);
}

TEST(StudyRows, TheKeyIsWhatWasAskedForAndNothingElse) {
  StudyRow row;
  row.model = "a";
  row.data = "b";
  StudyRow same = row;
  same.last_val_top1 = 0.5;
  same.epochs = 7;
  EXPECT_EQ(key_of(row), key_of(same));
  for (std::string StudyRow::*part : {&StudyRow::model, &StudyRow::data, &StudyRow::method,
                                      &StudyRow::variant, &StudyRow::options}) {
    StudyRow other = row;
    other.*part += "x";
    EXPECT_NE(key_of(row), key_of(other));
  }
  StudyRow other = row;
  other.seed = 1;
  EXPECT_NE(key_of(row), key_of(other));
  StudyRow shifted;
  shifted.model = "a,b";
  EXPECT_NE(key_of(row), key_of(shifted));
}

StudyArguments arguments() {
  StudyArguments args;
  args.models = {"nets/one.onnx", "two.onnx"};
  args.data = {"photos/", "/more/cars"};
  args.methods = {"last", "full"};
  args.seeds = 2;
  return args;
}

TEST(StudyGrid, HasEveryCombinationOnce) {
  StudyArguments args = arguments();
  args.variants = {"small=--memory-budget 2MB"};
  const std::vector<StudyRun> runs = grid_of(args);
  EXPECT_EQ(runs.size(), 2u * 2 * 2 * 2 * 2);
  std::set<std::string> keys;
  for (const StudyRun& run : runs) keys.insert(key_of(run.row));
  EXPECT_EQ(keys.size(), runs.size());
  EXPECT_EQ(runs.front().row.model, "one");
  EXPECT_EQ(runs.front().row.data, "photos");
  EXPECT_THAT(runs.front().row.options, Not(HasSubstr("budget")));
  EXPECT_EQ(runs[runs.size() / 2 - 1].row.seed, 0u);  // seeds outermost
}

TEST(StudyGrid, OptionsGoWhereTheyBelong) {
  StudyArguments args = arguments();
  args.passed = {"--lr", "auto"};
  args.extras = {"cars=--squash", "full=--warmup-epochs 1"};
  for (const StudyRun& run : grid_of(args)) {
    const auto has = [&](const char* word) {
      return std::ranges::find(run.command, word) != run.command.end();
    };
    EXPECT_TRUE(has("auto"));
    EXPECT_EQ(has("--squash"), run.row.data == "cars");
    EXPECT_EQ(has("--warmup-epochs"), run.row.method == "full");
  }
}

TEST(StudyGrid, WordsAreThoseOfAShell) {
  EXPECT_THAT(split_words("  --a 'b c'\t--d=\"e  f\"g '' "),
              ElementsAre("--a", "b c", "--d=e  fg", ""));
  EXPECT_THROW(split_words("'open"), CLI::ValidationError);
  EXPECT_EQ(split_words(shell_line({"plain", "two words", "", "$x"})),
            (Words{"plain", "two words", "", "$x"}));
  EXPECT_EQ(shell_line({"it's"}), "'it'\\''s'");
}

// A tinytl-train that takes no time: it reports what its method says, and fails where asked to.
constexpr const char* kFakeTrain = R"(#!/bin/sh
echo "$@" >> runs.txt
while [ $# -gt 0 ]; do
  case "$1" in
    --report) report="$2" ;;
    --update) method="$2" ;;
    --fail) [ "$method" = "$2" ] && { echo "some"; echo "tinytl-train: no $2 today"; } >&2 && exit 3 ;;
    --wait) [ "$method" = "$2" ] && { touch waiting; sleep 20; } ;;
  esac
  shift
done
cat > "$report" <<END
{"batch_size": 8, "training_memory_bytes": 1000, "arena_bytes": 400, "trainable_bytes": 300,
 "optimizer_bytes": 200, "frozen_bytes": 100, "measured_peak_rss_bytes": 1100,
 "trainable_scalars": 75, "step_seconds_median": 0.002, "alive_bytes": [100, 400, 200],
 "backward_begins": 1, "epochs": [{"loss": 1.5, "val_top1": 0.25}, {"loss": 1.0, "val_top1": 0.5}]}
END
)";

class StudyCommand : public CliTest {
 protected:
  StudyCommand() {
    const std::string text = kFakeTrain;
    write_file(folder / "fake-train", Bytes(text.begin(), text.end()));
    chmod((folder / "fake-train").c_str(), 0755);
  }
  Words command(const Words& more = {}) const {
    Words words{TINYTL_STUDY, "--model",         "net.onnx",
                "--data",     "photos",          "--out",
                "out",        "--seeds",         "2",
                "--methods",  "last,full",       "--epochs",
                "2",          "--train-command", path("fake-train")};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  size_t runs() const {
    const std::string text = text_of("runs.txt");
    return static_cast<size_t>(std::ranges::count(text, '\n'));
  }
  size_t rows() const { return parse_csv(text_of("out/study.csv")).records.size() - 1; }
};

TEST_F(StudyCommand, RunsTheGridAndDrawsIt) {
  const Output output = run(command({"--jobs", "2"}));
  ASSERT_EQ(output.exit_code, 0) << output;
  EXPECT_EQ(runs(), 4u);
  EXPECT_EQ(rows(), 4u);
  const StudyRow row = from_record(parse_csv(text_of("out/study.csv")).records[1]);
  EXPECT_EQ(row.last_val_top1, 0.5);
  EXPECT_EQ(row.best_val_top1, 0.5);
  EXPECT_THAT(row.loss, ElementsAre(1.5, 1.0));
  EXPECT_THAT(row.alive_bytes, ElementsAre(100, 400, 200));
  EXPECT_GT(row.seconds, 0);
  EXPECT_THAT(text_of("runs.txt"), HasSubstr("--keep last"));
  EXPECT_THAT(text_of("out/study.html"), AllOf(HasSubstr("</html>"), HasSubstr("--methods")));
  EXPECT_THAT(text_of("out/study.svg"), HasSubstr("</svg>"));
  for (const auto& entry : std::filesystem::directory_iterator(folder / "out")) {
    EXPECT_FALSE(entry.is_directory()) << entry.path();  // nothing of the runs is left
  }
}

TEST_F(StudyCommand, FinishedRunsAreNotRunAgain) {
  ASSERT_EQ(run(command()).exit_code, 0);
  const std::string table = text_of("out/study.csv");
  EXPECT_EQ(run(command()).exit_code, 0);
  EXPECT_EQ(runs(), 4u);
  EXPECT_EQ(text_of("out/study.csv"), table);
  // As a power cut in the middle of the last row leaves it.
  const std::string cut = table.substr(0, table.size() - 30);
  write_file(folder / "out/study.csv", Bytes(cut.begin(), cut.end()));
  EXPECT_EQ(run(command()).exit_code, 0);
  EXPECT_EQ(runs(), 5u);
  EXPECT_EQ(rows(), 4u);
  EXPECT_EQ(run(command({"--variant", "more=--dropout 0.1"})).exit_code, 0);
  EXPECT_EQ(runs(), 9u);
}

TEST_F(StudyCommand, AFailedRunIsOneLineAndTheOthersGoOn) {
  const Output output = run(command({"--", "--fail", "last"}));
  EXPECT_EQ(output.exit_code, 3);
  EXPECT_EQ(rows(), 2u);
  EXPECT_THAT(output.err,
              AllOf(HasSubstr("last  seed 0: tinytl-train: no last today (exit code 3)"),
                    HasSubstr("2 of 4 runs failed")));
  EXPECT_EQ(std::ranges::count(output.err, '\n'), 3);
  EXPECT_THAT(text_of("out/study.html"), HasSubstr("</html>"));
}

TEST_F(StudyCommand, CtrlCKeepsWhatIsFinished) {
  Process process(command({"--", "--wait", "full"}), folder.path());
  ASSERT_TRUE(process.wait_for("1/4"));
  while (!std::filesystem::exists(folder / "waiting")) usleep(1000);
  process.send(SIGINT);
  const Output output = process.wait();
  EXPECT_EQ(output.exit_code, 130);
  EXPECT_EQ(rows(), 1u);
  EXPECT_THAT(output.out, HasSubstr("run the same command again"));
}

TEST_F(StudyCommand, DrawsAgainWithoutRunning) {
  ASSERT_EQ(run(command()).exit_code, 0);
  std::filesystem::remove(folder / "out/study.html");
  EXPECT_EQ(run({TINYTL_STUDY, "--out", "out", "--render-only"}).exit_code, 0);
  EXPECT_THAT(text_of("out/study.html"), HasSubstr("--methods last,full"));
  EXPECT_EQ(runs(), 4u);
}

TEST_F(StudyCommand, WrongUsageWritesNothing) {
  const Words cases[] = {
      {"--methods", "best"},       {"--seeds", "0"},     {"--variant", "x"},
      {"--data", "other/photos"},  {"--variant", "x='"}, {"--extra", "y=--squash"},
      {"--model", "dir/net.onnx"}, {"--jobs", "0"},      {"--bogus", "1"}};
  for (const Words& flags : cases) {
    Words words = command();
    if (flags[0] == "--methods" || flags[0] == "--seeds") {
      *(std::ranges::find(words, flags[0]) + 1) = flags[1];
    } else {
      words.insert(words.end(), flags.begin(), flags.end());
    }
    EXPECT_EQ(run(words).exit_code, 2) << flags[0] << " " << flags[1];
  }
  EXPECT_EQ(run({TINYTL_STUDY, "--out", "out"}).exit_code, 2);
  EXPECT_EQ(run({TINYTL_STUDY, "--model", "net.onnx", "--data", "photos"}).exit_code, 2);
  EXPECT_FALSE(std::filesystem::exists(folder / "out"));
  EXPECT_EQ(run({TINYTL_STUDY, "--help"}).exit_code, 0);
}

TEST_F(StudyCommand, ARealRunIsARow) {
  const Output output =
      run({TINYTL_STUDY, "--model", model, "--data", "photos", "--out", "out", "--seeds", "1",
           "--methods", "bias", "--epochs", "1", "--batch-size", "4"});
  ASSERT_EQ(output.exit_code, 0) << output;
  const StudyRow row = from_record(parse_csv(text_of("out/study.csv")).records[1]);
  EXPECT_EQ(row.training_memory_bytes,
            row.arena_bytes + row.trainable_bytes + row.optimizer_bytes + row.frozen_bytes);
  ASSERT_FALSE(row.alive_bytes.empty());
  EXPECT_LE(*std::ranges::max_element(row.alive_bytes), row.arena_bytes);
  EXPECT_GT(row.backward_begins, 0u);
  EXPECT_LT(row.backward_begins, row.alive_bytes.size());
}

}  // namespace
}  // namespace tinytl

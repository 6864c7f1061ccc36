// tinytl-train --profile: the table, the trace and the report say the same, and add up.

#include <cmath>
#include <map>
#include <sstream>

#include "tests/cli/support.h"

namespace tinytl {
namespace {

using testing::HasSubstr;
using testing::Not;

class ProfileOption : public CliTest {
 protected:
  // Of a run with these flags.
  Json report_of(const Words& flags) {
    Words command = train_command({"--report", "report.json"});
    if (std::ranges::find(flags, "full") != flags.end()) std::erase(command, "--freeze-weights");
    command.insert(command.end(), flags.begin(), flags.end());
    output_ = run(command);
    EXPECT_EQ(output_.exit_code, 0) << output_;
    return json_of("report.json");
  }
  // The events of a trace that are runs of nodes.
  std::vector<Json> runs_in(const std::string& trace) const {
    std::vector<Json> runs;
    const Json json = json_of(trace);
    for (const Json& event : json.at("traceEvents")) {
      if (event.at("ph") == "X") runs.push_back(event);
    }
    return runs;
  }
  Output output_;
};

double sum_of(const Json& nodes, const char* key) {
  double sum = 0;
  for (const Json& node : nodes) sum += node.at(key).get<double>();
  return sum;
}

struct TextLine {
  double microseconds = 0, calls = 0;
  std::string rest;
};

// The lines "12.3 %  1234.5  8  ..." between the heading `title` and the line of the whole step.
std::vector<TextLine> table_of(const std::string& text, const std::string& title) {
  std::istringstream lines(text.substr(text.find("calls  " + title)));
  std::vector<TextLine> table;
  std::string line, percent, sign;
  std::getline(lines, line);
  while (std::getline(lines, line) && !line.empty()) {
    std::istringstream words(line);
    TextLine row;
    words >> percent >> sign >> row.microseconds >> row.calls >> row.rest;
    table.push_back(row);
  }
  return table;
}

void expect_lines_add_up(const std::string& text) {
  for (const std::string title : {"node", "phase", "operator"}) {
    SCOPED_TRACE(title);
    const std::vector<TextLine> table = table_of(text, title);
    ASSERT_GE(table.size(), 2u) << text;
    EXPECT_THAT(table.back().rest, testing::StartsWith("step"));
    double microseconds = 0, calls = 0;
    for (size_t i = 0; i + 1 < table.size(); ++i) {
      microseconds += table[i].microseconds;
      calls += table[i].calls;
    }
    const double rounding = 0.06 * static_cast<double>(table.size());
    EXPECT_NEAR(microseconds, table.back().microseconds, rounding);
    EXPECT_NEAR(calls, table.back().calls, rounding);
  }
}

TEST_F(ProfileOption, TablesAddUpToTheStepOfTheReport) {
  for (const char* update : {"last", "bias", "full"}) {
    const Json report = report_of({"--profile", "all.txt", "--update", update});
    EXPECT_THAT(output_.out, HasSubstr("time by node, mean of 11 steps"));
    expect_lines_add_up(output_.out);
    const std::string all = text_of("all.txt");
    expect_lines_add_up(all);
    const Json& nodes = report.at("profile");
    EXPECT_EQ(table_of(all, "node").size(), nodes.size() + 1) << "all of them, and the sum";
    EXPECT_EQ(table_of(output_.out, "node").size(), std::min<size_t>(20 + 2, nodes.size() + 1));
    const double seconds = sum_of(nodes, "seconds");
    EXPECT_NEAR(table_of(all, "node").back().microseconds, 1e6 * seconds, 0.06);
    EXPECT_EQ(report.at("allocations_in_step"), 0);
    EXPECT_GT(report.at("step_seconds_median").get<double>(), 0);
  }
}

TEST_F(ProfileOption, ReportNamesEveryNodeWithItsWork) {
  const Json report = report_of({"--profile", "--max-steps", "2", "--update", "full"});
  std::map<std::string, int> phases;
  for (const Json& node : report.at("profile")) {
    EXPECT_FALSE(node.at("op").get<std::string>().empty());
    EXPECT_TRUE(node.at("name").is_string());
    EXPECT_GT(node.at("seconds").get<double>(), 0);
    EXPECT_GE(node.at("flops").get<double>(), 0);
    EXPECT_GE(node.at("bytes").get<double>(), 0);
    EXPECT_GT(node.at("calls").get<double>(), 0);
    ++phases[node.at("phase")];
  }
  for (const char* phase : {"forward", "backward", "update"}) EXPECT_GT(phases[phase], 0) << phase;
  EXPECT_GT(sum_of(report.at("profile"), "flops"), 0);
}

TEST_F(ProfileOption, TraceHoldsEveryNodeOnceAMicroBatch) {
  for (const int parts : {1, 2, 4}) {
    SCOPED_TRACE(parts);
    const Json report = report_of({"--profile", "trace.json", "--max-steps", "6", "--micro-batch",
                                   std::to_string(4 / parts)});
    const Json& nodes = report.at("profile");
    const std::vector<Json> runs = runs_in("trace.json");
    EXPECT_NEAR(static_cast<double>(runs.size()), sum_of(nodes, "calls"), 1e-9);
    size_t at = 0;
    double now = 0;
    for (int part = 0; part < parts; ++part) {
      for (const Json& node : nodes) {
        const bool every_time = node.at("calls").get<double>() > parts - 0.5;
        if (!every_time && part + 1 < parts) continue;
        ASSERT_LT(at, runs.size());
        const Json& run = runs[at++];
        const Json& args = run.at("args");
        EXPECT_EQ(args.at("micro_batch"), part);
        EXPECT_EQ(args.at("op"), node.at("op"));
        EXPECT_EQ(args.at("shape"), node.at("output"));
        EXPECT_NEAR(run.at("ts").get<double>(), now, 1e-6 * now + 1e-9) << "one after the other";
        now += run.at("dur").get<double>();
      }
    }
    EXPECT_EQ(at, runs.size());
  }
}

TEST_F(ProfileOption, TracksAreNamedAfterPhases) {
  report_of({"--profile", "trace.json", "--max-steps", "2"});
  const Json trace = json_of("trace.json");
  std::map<int, std::string> tracks;
  for (const Json& event : trace.at("traceEvents")) {
    if (event.at("name") == "thread_name") tracks[event.at("tid")] = event.at("args").at("name");
  }
  std::map<std::string, int> runs;
  for (const Json& run : runs_in("trace.json")) ++runs[tracks.at(run.at("tid"))];
  for (const char* phase : {"forward", "backward", "update"}) EXPECT_GT(runs[phase], 0) << phase;
}

TEST_F(ProfileOption, UpdatesOfAccumulatedBatchesCountByTheStep) {
  const Json report =
      report_of({"--profile", "--accumulate", "2", "--micro-batch", "2", "--max-steps", "5"});
  std::map<std::string, double> most_calls;
  for (const Json& node : report.at("profile")) {
    double& most = most_calls[node.at("phase")];
    most = std::max(most, node.at("calls").get<double>());
  }
  EXPECT_DOUBLE_EQ(most_calls.at("forward"), 2) << "two micro-batches a step";
  EXPECT_DOUBLE_EQ(most_calls.at("update"), 0.5) << "in steps 2 and 4 of the four that count";
}

TEST_F(ProfileOption, WorksWhereARunIsResumed) {
  ASSERT_EQ(train({"--max-steps", "4", "--micro-batch", "4"}).exit_code, 0);
  const Json report = report_of({"--profile", "trace.json", "--resume", "--micro-batch", "4"});
  EXPECT_THAT(output_.out, HasSubstr("mean of 7 steps"));
  EXPECT_GT(runs_in("trace.json").size(), report.at("profile").size() / 2);
  expect_lines_add_up(output_.out);

  ASSERT_EQ(train({"--profile", "trace.json", "--resume", "--micro-batch", "4"}).exit_code, 0);
  EXPECT_TRUE(runs_in("trace.json").empty()) << "there was nothing left to run";
}

TEST_F(ProfileOption, WorksAfterRatesWereChosen) {
  const Json report = report_of({"--profile", "--lr", "auto"});
  EXPECT_THAT(output_.out, HasSubstr("mean of 11 steps")) << "those of the trials do not count";
  EXPECT_FALSE(report.at("profile").empty());
}

TEST_F(ProfileOption, ChangesNothingElse) {
  const Json with = report_of({"--profile", "--save", "a"});
  const Json without = report_of({"--save", "b"});
  EXPECT_THAT(output_.out, Not(HasSubstr("time by node")));
  EXPECT_FALSE(without.contains("profile"));
  for (const auto& [key, value] : without.items()) EXPECT_TRUE(with.contains(key)) << key;
  EXPECT_EQ(learnt_bytes(folder / "a"), learnt_bytes(folder / "b"));
  EXPECT_EQ(with.at("arena_bytes"), without.at("arena_bytes"));
}

TEST_F(ProfileOption, AFileThatCannotBeWrittenIsSaidFirst) {
  const Output output = train({"--profile", "missing/trace.json"});
  EXPECT_THAT(output, fails_with(3, {"missing/trace.json", "its folder does not exist"}));
  EXPECT_THAT(output.out, Not(HasSubstr("training")));
  EXPECT_THAT(train({"--profile", "photos"}), fails_with(3, {"photos: is a folder"}));
  EXPECT_THAT(train({"--profile", "r.json", "--report", "r.json"}),
              fails_with(2, {"need files of their own"}));
}

}  // namespace
}  // namespace tinytl

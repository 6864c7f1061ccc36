#include "tinytl/cli/study_candidates.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "tinytl/cli/child_process.h"
#include "tinytl/cli/training_jobs.h"

namespace tinytl::cli {
namespace {

// How a method may be run to need less.
struct Setting {
  const char* name;  // empty: plainly
  Words words;
  Words not_with;  // methods that it changes nothing of
};
const Setting kSettings[] = {{"", {}, {}}, {"int8 frozen", {"--frozen-weights", "int8"}, {"full"}}};

void append(Words& words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
}

// Option and values of those of `words` that `help` lists.
Words known_options(const Words& words, const std::string& help) {
  Words known;
  bool is_known = false;
  for (const std::string& word : words) {
    const bool is_option = word.starts_with("--");
    const std::string flag = word.substr(0, word.find('='));
    if (is_option) is_known = lists_option(help, flag);
    if (is_known) known.push_back(word);
  }
  return known;
}

// "160 px, width 0.75, int8 frozen".
std::string variant_of(const std::optional<int64_t>& resolution, const std::optional<double>& width,
                       const Setting& setting) {
  std::string text;
  const auto add = [&](const std::string& words) { text += (text.empty() ? "" : ", ") + words; };
  if (resolution) add(fmt::format("{} px", *resolution));
  if (width) add(fmt::format("width {:g}", *width));
  if (setting.name[0] != '\0') add(setting.name);
  return text;
}

// The values, or one absent one: what the network has of its own.
template <typename T>
std::vector<std::optional<T>> or_own(const std::vector<T>& values) {
  if (values.empty()) return {std::nullopt};
  return {values.begin(), values.end()};
}

// Plans every candidate, first plainly, then those that are too large with the budget.
class Planner {
 public:
  Planner(const StudyArguments& args, const SearchArguments& search, size_t budget, int64_t classes)
      : args_(args), search_(search), budget_(budget), classes_(classes) {
    help_ = help_of(search.plan, args.out);
  }

  void plan(std::vector<Candidate>& candidates) const {
    plan_some(candidates, [](const Candidate&) { return true; }, {});
    const auto too_large = [&](const Candidate& c) {
      return c.dropped.empty() && c.planned_bytes > budget_;
    };
    const Words budget{"--memory-budget", search_.memory_budget};
    std::vector<bool> with_levers;
    for (const Candidate& c : candidates) with_levers.push_back(too_large(c));
    plan_some(candidates, too_large, budget);
    for (size_t i = 0; i < candidates.size(); ++i) {
      Candidate& c = candidates[i];
      if (with_levers[i] && c.dropped.empty()) append(c.run.command, budget);
    }
  }

 private:
  template <typename Which>
  void plan_some(std::vector<Candidate>& candidates, const Which& which, const Words& more) const {
    std::vector<size_t> places;
    std::vector<Words> commands;
    for (size_t i = 0; i < candidates.size(); ++i) {
      if (!which(candidates[i])) continue;
      places.push_back(i);
      commands.push_back(known_options(candidates[i].run.command, help_));
      append(commands.back(), {"--classes", std::to_string(classes_)});
      append(commands.back(), more);
    }
    run_jobs(commands, {search_.plan, args_.out, static_cast<size_t>(args_.jobs), /*trains=*/false},
             [&](const JobEnd& end) {
               Candidate& candidate = candidates[places[end.job]];
               if (!end.defect.empty()) {
                 candidate.dropped = end.defect;
               } else if (more.empty()) {
                 candidate.planned_bytes = end.report.at("training_memory_bytes");
               }
             });
  }

  const StudyArguments& args_;
  const SearchArguments& search_;
  const size_t budget_;
  const int64_t classes_;
  std::string help_;
};

}  // namespace

std::string help_of(const std::string& program, const std::filesystem::path& folder) {
  const std::filesystem::path out = folder / "help.txt", error = folder / "help-error.txt";
  start_child({program, "--help"}, out, error);
  const std::optional<ChildEnd> end = wait_for_child();
  std::ostringstream text;
  text << std::ifstream(out).rdbuf();
  std::filesystem::remove(out);
  std::filesystem::remove(error);
  if (!end || end->exit_code != 0) {
    throw InputError(program + ": cannot be asked for its options");
  }
  return std::move(text).str();
}

bool lists_option(const std::string& help, const std::string& flag) {
  const size_t at = help.find("\n  " + flag);
  if (at == std::string::npos) return false;
  const char next = help.c_str()[at + 3 + flag.size()];
  return next == ' ' || next == '\n' || next == ',';
}

std::vector<Candidate> candidates_of(const StudyArguments& args, const SearchArguments& search,
                                     const std::function<bool(const std::string&)>& can) {
  std::vector<Candidate> all;
  for (const std::string& model : args.models) {
    for (const auto& resolution : or_own(search.resolutions)) {
      for (const auto& width : or_own(search.widths)) {
        for (const Setting& setting : kSettings) {
          if (!setting.words.empty() && !can(setting.words[0])) continue;
          for (const std::string& method : args.methods) {
            const bool is_moot =
                std::ranges::find(setting.not_with, method) != setting.not_with.end();
            if (is_moot) continue;
            Candidate& c = all.emplace_back();
            c.run.row.model = study_name(model);
            c.run.row.data = study_name(args.data.at(0));
            c.run.row.method = method;
            c.run.row.variant = variant_of(resolution, width, setting);
            c.run.command = {"--model",  model,  "--data", args.data.at(0),
                             "--update", method, "--seed", "0"};
            append(c.run.command, {"--batch-size", std::to_string(args.batch_size)});
            if (resolution) append(c.run.command, {"--resolution", std::to_string(*resolution)});
            if (width) append(c.run.command, {"--width", fmt::format("{:g}", *width)});
            append(c.run.command, setting.words);
            append(c.run.command, args.passed);
          }
        }
      }
    }
  }
  return all;
}

void plan_candidates(const StudyArguments& args, const SearchArguments& search, size_t budget,
                     int64_t classes, std::vector<Candidate>& candidates) {
  Planner(args, search, budget, classes).plan(candidates);
}

}  // namespace tinytl::cli

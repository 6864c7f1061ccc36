#include "tinytl/cli/study_search.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tinytl/cli/child_process.h"
#include "tinytl/cli/console.h"
#include "tinytl/cli/study_candidates.h"

namespace tinytl::cli {
namespace {

constexpr double kHoldOut = 0.2;  // part of the training set
constexpr size_t kFewest = 3;     // in a rung: few epochs tell too little to choose by

void append(Words& words, const Words& more) {
  words.insert(words.end(), more.begin(), more.end());
}

StudyRun run_in_rung(const Candidate& candidate, size_t epochs) {
  StudyRun run = candidate.run;
  const Words words{"--epochs", std::to_string(epochs), "--hold-out", fmt::format("{}", kHoldOut)};
  append(run.command, words);
  run.row.epochs = epochs;
  // What follows the method and the seed, which are in the key by themselves.
  run.row.options = shell_line(Words(run.command.begin() + 8, run.command.end()));
  return run;
}

std::string name_of(const Candidate& c) {
  return c.run.row.variant.empty() ? c.run.row.method : c.run.row.method + ", " + c.run.row.variant;
}

// Highest held-out accuracy first; of equals the one with less memory.
bool is_better(const Candidate& a, const Candidate& b) {
  if (a.held_out.back() != b.held_out.back()) return a.held_out.back() > b.held_out.back();
  return a.last.training_memory_bytes < b.last.training_memory_bytes;
}

// Trains those that are left; those whose run failed are left behind. False where interrupted.
bool run_rung(const StudyArguments& args, const SearchArguments& search, size_t epochs,
              std::vector<Candidate*>& left, StudyTable& table) {
  fmt::print("\n{} candidate{}, {} epoch{} each\n", left.size(), left.size() == 1 ? "" : "s",
             epochs, epochs == 1 ? "" : "s");
  std::vector<StudyRun> runs;
  for (const Candidate* c : left) runs.push_back(run_in_rung(*c, epochs));
  const StudyOutcome outcome =
      run_study(runs, {search.train, args.out, static_cast<size_t>(args.jobs)}, table, [] {});
  if (outcome.interrupted) return false;
  std::vector<Candidate*> done;
  for (size_t i = 0; i < left.size(); ++i) {
    const auto row = std::ranges::find(table.rows(), key_of(runs[i].row), key_of);
    if (row == table.rows().end()) continue;
    left[i]->held_out.push_back(row->last_val_top1);
    left[i]->last = *row;
    done.push_back(left[i]);
  }
  std::ranges::stable_sort(done, [](const auto* a, const auto* b) { return is_better(*a, *b); });
  left = std::move(done);
  return true;
}

// Those that come into the next rung, of those in order of success.
std::vector<Candidate*> better_of(const std::vector<Candidate*>& sorted, bool each_method) {
  const size_t half = std::max(kFewest, (sorted.size() + 1) / 2);
  std::set<std::string> methods;
  std::vector<Candidate*> better;
  for (size_t i = 0; i < sorted.size(); ++i) {
    const bool is_first_of_method = methods.insert(sorted[i]->run.row.method).second;
    if (i < half || (each_method && is_first_of_method)) better.push_back(sorted[i]);
  }
  return better;
}

// The planner's words without the advice, which is for those who plan one run.
std::string shortest(const std::string& dropped) {
  const std::string before = "can be planned in is ";
  const size_t at = dropped.find(before);
  if (at == std::string::npos) return dropped;
  const size_t from = at + before.size();
  return "the smallest plan has " + dropped.substr(from, dropped.find(';', from) - from);
}

void print_dropped(const std::vector<Candidate>& candidates, size_t budget) {
  for (const Candidate& c : candidates) {
    if (c.dropped.empty()) continue;
    const std::string bytes = c.planned_bytes > budget
                                  ? fmt::format("{} bytes planned, {} over the budget; ",
                                                count_text(int64_t(c.planned_bytes)),
                                                bytes_text(c.planned_bytes - budget))
                                  : "";
    print_line("out", fmt::format("{}: {}{}", name_of(c), bytes, shortest(c.dropped)));
  }
}

std::string reason(const SearchResult& result) {
  const Candidate& chosen = result.candidates.front();
  const double top1 = chosen.held_out.back();
  const double error =
      std::sqrt(top1 * (1 - top1) / double(std::max<size_t>(1, result.held_out_samples)));
  std::string text = fmt::format(
      "{} needs {} and has the highest accuracy on the held-out part of the training set, {}, "
      "after {} epochs; the sampling error of such a figure is {:.1f} points",
      name_of(chosen), bytes_text(chosen.last.training_memory_bytes), percent_text(top1),
      chosen.last.epochs, 100 * error);
  const bool has_next = result.candidates.size() > 1 &&
                        result.candidates[1].held_out.size() == chosen.held_out.size();
  if (has_next) {
    const Candidate& next = result.candidates[1];
    text += fmt::format(", and the next, {}, has {} in {}", name_of(next),
                        percent_text(next.held_out.back()),
                        bytes_text(next.last.training_memory_bytes));
  }
  return text + ".";
}

void print_result(const SearchResult& result) {
  std::vector<Words> rows{{"candidate", "training memory"}};
  for (const size_t epochs : kRungEpochs) {
    rows[0].push_back(fmt::format("{} epoch{}", epochs, epochs == 1 ? "" : "s"));
  }
  for (const Candidate& c : result.candidates) {
    if (c.held_out.empty()) continue;
    rows.push_back({name_of(c), bytes_text(c.last.training_memory_bytes)});
    for (size_t r = 0; r < std::size(kRungEpochs); ++r) {
      rows.back().push_back(r < c.held_out.size() ? percent_text(c.held_out[r]) : "");
    }
  }
  fmt::print("\nheld-out accuracy\n");
  print_table(rows);
  fmt::print("\n{}\n\n{}\n", result.why, result.command);
}

// By how far they came, then by what they reached there; what was dropped last.
void sort_by_success(std::vector<Candidate>& candidates) {
  std::ranges::stable_sort(candidates, [](const Candidate& a, const Candidate& b) {
    if (a.held_out.size() != b.held_out.size()) return a.held_out.size() > b.held_out.size();
    return !a.held_out.empty() && is_better(a, b);
  });
}

}  // namespace

SearchResult search(const StudyArguments& args, const SearchArguments& search) {
  SearchResult result;
  MethodArguments budget;
  budget.memory_budget = search.memory_budget;
  result.budget_bytes = budget_of(budget).training_memory;
  std::filesystem::create_directories(args.out);
  const std::string help = help_of(search.train, args.out);
  const auto can = [&](const std::string& flag) { return lists_option(help, flag); };
  Words needed{"--hold-out"};
  if (!search.resolutions.empty()) needed.push_back("--resolution");
  if (!search.widths.empty()) needed.push_back("--width");
  for (const std::string& flag : needed) {
    if (can(flag)) continue;
    throw InputError(search.train + ": has no " + flag + ", which this search needs");
  }
  const DatasetSplits data = open_dataset(args.data.at(0), DatasetOptions{});
  result.held_out_samples = static_cast<size_t>(std::lround(kHoldOut * double(data.train->size())));
  result.candidates = candidates_of(args, search, can);
  fmt::print("tinytl-study: {} candidates for {}, at most {}\n", result.candidates.size(),
             study_name(args.data.at(0)), bytes_text(result.budget_bytes));
  std::fflush(stdout);
  catch_interrupts_for_children();
  plan_candidates(args, search, result.budget_bytes, int64_t(data.train->classes().size()),
                  result.candidates);
  print_dropped(result.candidates, result.budget_bytes);

  StudyTable table(std::filesystem::path(args.out) / "search.csv");
  std::vector<Candidate*> left;
  for (Candidate& c : result.candidates) {
    if (c.dropped.empty()) left.push_back(&c);
  }
  for (size_t rung = 0; rung < std::size(kRungEpochs) && !left.empty(); ++rung) {
    if (rung > 0) left = better_of(left, /*each_method=*/rung == 1);
    if (was_interrupted() || !run_rung(args, search, kRungEpochs[rung], left, table)) {
      result.interrupted = true;
      return result;
    }
  }
  const bool any_fits =
      std::ranges::any_of(result.candidates, [](const Candidate& c) { return c.dropped.empty(); });
  if (any_fits && left.empty()) {
    throw InputError(args.data.at(0) + ": every run failed; the lines above say why");
  }
  if (left.empty()) {
    throw InputError("--memory-budget " + search.memory_budget +
                     ": no candidate fits; raise it, or give smaller --resolutions or --widths");
  }
  sort_by_success(result.candidates);
  result.why = reason(result);
  Words words{"tinytl-train"};
  append(words, result.candidates.front().run.command);
  append(words, {"--epochs", std::to_string(args.epochs)});
  result.command = shell_line(words);
  print_result(result);
  return result;
}

}  // namespace tinytl::cli

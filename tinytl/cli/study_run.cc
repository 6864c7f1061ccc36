#include "tinytl/cli/study_run.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "tinytl/cli/child_process.h"
#include "tinytl/cli/console.h"
#include "tinytl/cli/training_jobs.h"

namespace tinytl::cli {
namespace {

// Guesses how long runs take by those that have ended: of the same model, data and method if there
// are any, else of all.
class TimeLeft {
 public:
  explicit TimeLeft(const std::vector<StudyRow>& known) {
    for (const StudyRow& row : known) add(row);
  }
  void add(const StudyRow& row) {
    const double epochs = double(std::max<size_t>(1, row.epochs));
    of_kind_[kind_of(row)].push_back(row.seconds / epochs);
    all_.push_back(row.seconds / epochs);
  }
  double seconds_an_epoch(const StudyRow& key) const {
    const auto found = of_kind_.find(kind_of(key));
    const std::vector<double>& times = found == of_kind_.end() ? all_ : found->second;
    if (times.empty()) return 0;
    return std::accumulate(times.begin(), times.end(), 0.0) / double(times.size());
  }

 private:
  static std::string kind_of(const StudyRow& row) {
    return csv_line({row.model, row.data, row.method});
  }
  std::map<std::string, std::vector<double>> of_kind_;
  std::vector<double> all_;
};

std::string name_of(const StudyRow& row) {
  return fmt::format("{}  {}  {}{}  seed {}", row.model, row.data, row.method,
                     row.variant.empty() ? "" : ", " + row.variant, row.seed);
}

class GridProgress {
 public:
  GridProgress(size_t jobs, const std::vector<StudyRun>& runs, const StudyTable& table)
      : jobs_(jobs), runs_(runs), left_(table.rows()), ended_(runs.size(), false) {
    for (const StudyRun& run : runs) width_ = std::max(width_, name_of(run.row).size());
  }

  void show(size_t job, const StudyRow& row) {
    ended_[job] = true;
    left_.add(row);
    fmt::print("  {:>{}}/{}  {:<{}}  {:>7}  {:>9}  {:>7}  ETA {}\n", count(),
               std::to_string(runs_.size()).size(), runs_.size(), name_of(row), width_,
               percent_text(row.last_val_top1), bytes_text(row.training_memory_bytes),
               duration_text(row.seconds), duration_text(seconds_left()));
    std::fflush(stdout);
  }

  void show_failed(size_t job, const std::string& defect) {
    ended_[job] = true;
    std::fflush(stdout);
    fmt::print(stderr, "tinytl-study: {}: {}\n", name_of(runs_[job].row), defect);
  }

 private:
  int64_t count() const { return std::ranges::count(ended_, true); }
  double seconds_left() const {
    double seconds = 0;
    for (size_t i = 0; i < runs_.size(); ++i) {
      if (ended_[i]) continue;
      seconds += left_.seconds_an_epoch(runs_[i].row) * double(runs_[i].row.epochs);
    }
    return seconds / double(jobs_);
  }

  const size_t jobs_;
  const std::vector<StudyRun>& runs_;
  TimeLeft left_;
  std::vector<bool> ended_;
  size_t width_ = 0;
};

}  // namespace

StudyOutcome run_study(std::vector<StudyRun> runs, const StudyRunOptions& options,
                       StudyTable& table, const std::function<void()>& on_row) {
  StudyOutcome outcome;
  outcome.found = std::erase_if(runs, [&](const StudyRun& run) { return table.has(run.row); });
  fmt::print("tinytl-study: {} runs, {} of them done before\n", runs.size() + outcome.found,
             outcome.found);
  std::fflush(stdout);
  std::vector<Words> commands;
  for (const StudyRun& run : runs) commands.push_back(run.command);
  GridProgress progress(options.jobs, runs, table);
  catch_interrupts_for_children();
  run_jobs(commands, {options.train_command, options.folder, options.jobs}, [&](const JobEnd& end) {
    StudyRow row = runs[end.job].row;
    std::string defect = end.defect;
    try {
      if (defect.empty()) read_report(end.report, row);
    } catch (const std::exception& error) {
      defect = error.what();
    }
    if (!defect.empty()) {
      ++outcome.failed;
      progress.show_failed(end.job, defect);
      return;
    }
    row.seconds = end.seconds;
    table.append(row);
    ++outcome.done;
    progress.show(end.job, row);
    on_row();
  });
  outcome.interrupted = was_interrupted();
  return outcome;
}

}  // namespace tinytl::cli

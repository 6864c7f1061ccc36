// Runs what is missing of a study.
#pragma once

#include "tinytl/cli/study_grid.h"

namespace tinytl::cli {

struct StudyOutcome {
  size_t done = 0, found = 0, failed = 0;  // found: rows that were there before
  bool interrupted = false;
};

struct StudyRunOptions {
  std::string train_command, folder;
  size_t jobs = 1;
};

// Runs every one of `runs` that `table` does not have, with one line on standard output for each
// that ends and one on standard error for each that fails; `on_row` is called after each row.
StudyOutcome run_study(std::vector<StudyRun> runs, const StudyRunOptions& options,
                       StudyTable& table, const std::function<void()>& on_row);

}  // namespace tinytl::cli

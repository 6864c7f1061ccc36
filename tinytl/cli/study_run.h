// Runs what is missing of a study's grid.
#pragma once

#include "tinytl/cli/study_grid.h"

namespace tinytl::cli {

struct StudyOutcome {
  size_t done = 0, found = 0, failed = 0;  // found: rows that were there before
  bool interrupted = false;
};

// Runs every run of the grid that `table` does not have, with one line on standard output for each
// that ends and one on standard error for each that fails; `on_row` is called after each row.
StudyOutcome run_study(const StudyArguments& args, const std::string& train_command,
                       StudyTable& table, const std::function<void()>& on_row);

}  // namespace tinytl::cli

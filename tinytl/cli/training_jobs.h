// Training runs in processes of their own, some at once, each with a report.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tinytl/cli/report.h"

namespace tinytl::cli {

struct JobOptions {
  std::string program;           // tinytl-train
  std::filesystem::path folder;  // for files that live as long as a job
  size_t at_once = 1;            // at most 64
  bool trains = true;            // else it plans, and knows no --keep and no --save
};

struct JobEnd {
  size_t job = 0;  // its place in the list
  Json report;
  double seconds = 0;
  std::string defect;  // in one line; empty: it is done and has a report
};

// Runs `program` with the words of each job, --keep last, and files for its report and for what it
// learns, which are gone when it has ended. Memory is then measured by process, and nothing is
// selected on val. `on_end` is called after each job in the order in which they end, never for one
// that Ctrl-C stopped; the jobs after a failed one run. Returns early once was_interrupted()
// (child_process.h), when the running ones have ended. What `on_end` throws stops the others.
void run_jobs(const std::vector<std::vector<std::string>>& jobs, const JobOptions& options,
              const std::function<void(const JobEnd&)>& on_end);

}  // namespace tinytl::cli

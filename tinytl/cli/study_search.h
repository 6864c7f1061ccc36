// Which network and method to adapt: the best of many that fit a memory budget.
#pragma once

#include "tinytl/cli/study_run.h"

namespace tinytl::cli {

struct SearchArguments {
  bool wanted = false;               // else it is a study
  std::string memory_budget;         // bytes with a unit
  std::vector<int64_t> resolutions;  // pixels; empty: the network's own
  std::vector<double> widths;        // parts of the channels; empty: all of them
  std::string train, plan;           // the programs
};

// What may be chosen: `run.row` has its name (model, method, and as variant all else).
struct Candidate {
  StudyRun run;
  size_t planned_bytes = 0;      // of training memory, without any lever
  std::string dropped;           // why it is out before any training; empty: it fits
  std::vector<double> held_out;  // top-1 after the runs of each rung it was in
  StudyRow last;                 // of its last rung
};

struct SearchResult {
  std::vector<Candidate> candidates;  // the chosen one first, then by how far they came
  size_t budget_bytes = 0, held_out_samples = 0;
  std::string why;      // one sentence
  std::string command;  // the tinytl-train command to run
  bool interrupted = false;
};

// Epochs of each rung of the search, each a schedule that ends there: the better half of the
// candidates, and at least three, come into the next. Out of the first one so does the best of each
// method: what learns fast is ahead there, and need not be where it ends.
inline constexpr size_t kRungEpochs[] = {2, 5, 12};

// Successive halving (Jamieson and Talwalkar, AISTATS 2016) with the planner as oracle. Candidates
// are models x resolutions x widths x methods, each with and without 8-bit frozen weights where
// those exist. Those whose training memory is planned above the budget get it as --memory-budget,
// to be met with levers; where none meet it they are dropped. The others train on a part of the
// training set and are compared on the rest of it; val is never looked at. What has run is kept in
// OUT/search.csv and not run again. Prints as it goes. Throws InputError where nothing fits, or
// where tinytl-train lacks an option that is asked for.
SearchResult search(const StudyArguments& args, const SearchArguments& search);

// The result as one page, as study_html().
std::string search_html(const SearchResult& result, const std::vector<std::string>& commands);

}  // namespace tinytl::cli

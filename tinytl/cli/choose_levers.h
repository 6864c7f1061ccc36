// What a run has to know before its network is loaded to stay.
#pragma once

#include "tinytl/cli/load_network.h"

namespace tinytl::cli {

struct Decision {
  int64_t micro_batch = 1;
  std::vector<std::pair<size_t, int64_t>> pieces;  // of region i of find_regions, how many
  std::vector<ValueId> recomputed;
  std::vector<PlannedStep> steps;  // with a budget: what each lever does
  std::string fingerprint;         // of the network as imported
  KnownParameters known;
};

// Decides in a process of its own (run_apart): planning needs more memory than a small plan has.
// Throws what importing and planning throw, and BudgetError that names the smallest budget.
Decision decide(const MethodArguments& args, int64_t classes);

// `network`: at the decision's micro-batch.
Levers levers_of(const Decision& decision, const Graph& network);

}  // namespace tinytl::cli

// The pipeline that every command shares, from a model file to a session ready to train.
#pragma once

#include "tinytl/cli/alive_curve.h"
#include "tinytl/cli/arguments.h"
#include "tinytl/train/fit_budget.h"

namespace tinytl::cli {

struct Setup {
  std::string classifier;       // "new, 112 -> 17, in place of fc (1000 classes)"
  bool new_classifier = false;  // starts at random, not pretrained
  std::string fingerprint;      // of the network as imported
  std::vector<LiteModule> lite_modules;
  std::string imported;  // "51 convolutions, 1 matrix; 357,448 parameters"
  std::unique_ptr<Session> session;

  // With a budget: the plan without levers first, then with one after the other. Else empty.
  std::vector<PlannedStep> levers;
  double predicted_seconds = 0;  // of a step on this machine (engine/schedule/cost.h)
  double machine_scale = 1;      // this machine's time over that of `levers`
  size_t regions_in_pieces = 0, values_recomputed = 0;
  AliveCurve alive;  // of the step, which the session forgets when it begins to run
};

// `classes`: of the data set; 0 where the loss needs none. What there is to choose is chosen first,
// in a process of its own (choose_levers.h). Throws CLI::ValidationError, InputError, and
// BudgetError that says what the smallest budget would be.
Setup prepare(const MethodArguments& args, int64_t classes);

}  // namespace tinytl::cli

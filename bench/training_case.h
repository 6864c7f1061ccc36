// A training step as tinytl-train runs it, on one synthetic batch: what the benchmarks of steps
// measure.
#pragma once

#include "tinytl/cli/setup.h"

namespace tinytl {

class TrainingCase {
 public:
  // Throws what cli::prepare throws.
  TrainingCase(const cli::MethodArguments& args, int64_t classes);

  Session& session() { return *setup_.session; }
  // A whole batch, micro-batch by micro-batch, with the update; records into `times` if given.
  // Rates are 0: every step computes the same.
  void step(StepTimes* times = nullptr);

 private:
  cli::Setup setup_;
  Batch batch_;  // a micro-batch
};

// Random pixels (numbers between -1 and 1 where the input is no image), labels 0, 1, 2 ...
Batch synthetic_batch(const TensorType& input, int64_t classes);

}  // namespace tinytl

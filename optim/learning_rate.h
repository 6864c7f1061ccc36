// Learning-rate schedules: a factor between 0 and 1 for every step, the same for every group.
#pragma once

#include <cstdint>

namespace tinytl {

struct LearningRateSchedule {
  enum class Kind : uint8_t { kConstant, kStep, kCosine };
  Kind kind = Kind::kCosine;
  int64_t total_steps = 1;
  int64_t warmup_steps = 0;   // linear from 1 / warmup_steps to 1
  int64_t step_interval = 0;  // kStep: multiply by step_factor every so many steps
  double step_factor = 0.1;
};

// The factor of step `step` (from 0). Cosine: 0.5 (1 + cos(pi t / T)), t and T counted without the
// warm-up (Loshchilov & Hutter, SGDR, ICLR 2017).
double learning_rate_factor(const LearningRateSchedule& schedule, int64_t step);

}  // namespace tinytl

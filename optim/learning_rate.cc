#include "optim/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tinytl {

double learning_rate_factor(const LearningRateSchedule& schedule, int64_t step) {
  if (step < schedule.warmup_steps) {
    return static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps);
  }
  const int64_t t = step - schedule.warmup_steps;
  switch (schedule.kind) {
    case LearningRateSchedule::Kind::kConstant:
      return 1.0;
    case LearningRateSchedule::Kind::kStep:
      return std::pow(schedule.step_factor,
                      static_cast<double>(t / std::max<int64_t>(1, schedule.step_interval)));
    case LearningRateSchedule::Kind::kCosine: {
      const auto total =
          static_cast<double>(std::max<int64_t>(1, schedule.total_steps - schedule.warmup_steps));
      const double part = std::min(1.0, static_cast<double>(t) / total);
      return 0.5 * (1.0 + std::cos(std::numbers::pi * part));
    }
  }
  return 1.0;
}

}  // namespace tinytl

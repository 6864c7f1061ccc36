// Learning-rate schedules at exact points.

#include "optim/learning_rate.h"

#include <gtest/gtest.h>

#include <cmath>

namespace tinytl {
namespace {

using Kind = LearningRateSchedule::Kind;

TEST(LearningRate, ConstantStaysOne) {
  const LearningRateSchedule s{.kind = Kind::kConstant, .total_steps = 10};
  for (const int64_t step : {0, 5, 9, 100}) EXPECT_EQ(learning_rate_factor(s, step), 1.0);
}

TEST(LearningRate, CosineFallsFromOneToZero) {
  const LearningRateSchedule s{.kind = Kind::kCosine, .total_steps = 100};
  EXPECT_EQ(learning_rate_factor(s, 0), 1.0);
  EXPECT_NEAR(learning_rate_factor(s, 25), 0.5 * (1 + std::sqrt(0.5)), 1e-15);
  EXPECT_NEAR(learning_rate_factor(s, 50), 0.5, 1e-15);
  EXPECT_NEAR(learning_rate_factor(s, 75), 0.5 * (1 - std::sqrt(0.5)), 1e-15);
  EXPECT_NEAR(learning_rate_factor(s, 100), 0.0, 1e-15);
}

TEST(LearningRate, CosineStaysZeroAfterTheEnd) {
  const LearningRateSchedule s{.kind = Kind::kCosine, .total_steps = 100};
  EXPECT_NEAR(learning_rate_factor(s, 150), 0.0, 1e-15);
}

TEST(LearningRate, StepMultipliesEveryInterval) {
  const LearningRateSchedule s{
      .kind = Kind::kStep, .total_steps = 30, .step_interval = 10, .step_factor = 0.5};
  EXPECT_EQ(learning_rate_factor(s, 0), 1.0);
  EXPECT_EQ(learning_rate_factor(s, 9), 1.0);
  EXPECT_EQ(learning_rate_factor(s, 10), 0.5);
  EXPECT_EQ(learning_rate_factor(s, 29), 0.25);
}

TEST(LearningRate, WarmUpIsLinearAndNotCountedInTheCosine) {
  const LearningRateSchedule s{.kind = Kind::kCosine, .total_steps = 104, .warmup_steps = 4};
  EXPECT_EQ(learning_rate_factor(s, 0), 0.25);
  EXPECT_EQ(learning_rate_factor(s, 2), 0.75);
  EXPECT_EQ(learning_rate_factor(s, 3), 1.0);
  EXPECT_EQ(learning_rate_factor(s, 4), 1.0);
  EXPECT_NEAR(learning_rate_factor(s, 54), 0.5, 1e-15);
}

TEST(LearningRate, AWarmUpAsLongAsTrainingDividesByNothing) {
  const LearningRateSchedule s{.kind = Kind::kCosine, .total_steps = 4, .warmup_steps = 4};
  EXPECT_EQ(learning_rate_factor(s, 3), 1.0);
  EXPECT_EQ(learning_rate_factor(s, 4), 1.0);
}

}  // namespace
}  // namespace tinytl

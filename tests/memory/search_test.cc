// Plans of hard instances: at a known optimum where there is one, and never worse than simple
// rules.

#include <gtest/gtest.h>

#include <random>

#include "bench/hard_instances.h"
#include "bench/placement_rules.h"

namespace tinytl {
namespace {

constexpr size_t kUnit = 64;

TEST(PlacementSearch, PutsACutRectangleTogetherAgain) {
  for (const int count : {10, 20, 40, 80, 100}) {
    for (uint64_t seed = 0; seed < 8; ++seed) {
      SCOPED_TRACE(testing::Message() << count << " pieces, seed " << seed);
      const auto tensors = cut_rectangle({count, std::max(16, count / 2), 1024, 0}, seed);
      const MemoryPlan plan = plan_memory(tensors);
      EXPECT_EQ(check_plan(tensors, plan), "");
      EXPECT_EQ(plan.arena_bytes, 1024 * kUnit);
      EXPECT_EQ(plan.gap(), 0.0);
    }
  }
}

TEST(PlacementSearch, ReachesTheBoundWithPiecesMissing) {
  for (const int count : {20, 40, 80}) {
    for (uint64_t seed = 0; seed < 8; ++seed) {
      SCOPED_TRACE(testing::Message() << count << " pieces, seed " << seed);
      const auto tensors = cut_rectangle({count, count / 2, 1024, 12}, seed);
      const MemoryPlan plan = plan_memory(tensors);
      EXPECT_EQ(check_plan(tensors, plan), "");
      EXPECT_LE(plan.arena_bytes, 1024 * kUnit);
    }
  }
}

TEST(PlacementSearch, IsNeverWorseThanASimpleRule) {
  std::mt19937 random(2);
  for (uint64_t seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    const int count = 2 + static_cast<int>(random() % 60);
    const auto tensors = random_lifetimes({count, 1 + count / 2, 1 + count / 4, 40}, seed);
    const MemoryPlan plan = plan_memory(tensors);
    EXPECT_EQ(check_plan(tensors, plan), "");
    EXPECT_GE(plan.arena_bytes, plan.lower_bound_bytes);
    EXPECT_LE(plan.arena_bytes, plan_memory(tensors, 64, 0).arena_bytes);
    for (const auto& place :
         {place_without_sharing, place_nntrainer, place_tinyengine, place_tflite}) {
      const MemoryPlan other = place(tensors, 64);
      EXPECT_EQ(check_plan(tensors, other), "");
      EXPECT_LE(plan.arena_bytes, other.arena_bytes);
    }
  }
}

TEST(PlacementSearch, HasNoGapForChainsOfLayersInTraining) {
  for (const int layers : {5, 20, 60, 120}) {
    for (uint64_t seed = 0; seed < 10; ++seed) {
      SCOPED_TRACE(testing::Message() << layers << " layers, seed " << seed);
      const auto tensors = chain_lifetimes({layers, 1000}, seed);
      const MemoryPlan plan = plan_memory(tensors);
      EXPECT_EQ(check_plan(tensors, plan), "");
      EXPECT_EQ(plan.gap(), 0.0);
    }
  }
}

TEST(PlacementSearch, EffortRunsOutTheSameWayEveryTime) {
  const auto tensors = cut_rectangle({300, 150, 16384, 12}, 3);
  constexpr size_t kEffort = 3'000'000;
  const MemoryPlan plan = plan_memory(tensors, 64, kEffort);
  EXPECT_EQ(check_plan(tensors, plan), "");
  EXPECT_EQ(plan.offsets, plan_memory(tensors, 64, kEffort).offsets);
  EXPECT_LE(plan.arena_bytes, plan_memory(tensors, 64, 0).arena_bytes);
}

TEST(PlacementSearch, AlignmentDoesNotChangeWhatFits) {
  auto tensors = cut_rectangle({60, 30, 1024, 0}, 4);
  for (Lifetime& t : tensors) t.bytes -= t.bytes / kUnit % 7;  // odd sizes that round up again
  const MemoryPlan plan = plan_memory(tensors, kUnit);
  EXPECT_EQ(check_plan(tensors, plan, kUnit), "");
  EXPECT_EQ(plan.arena_bytes, 1024 * kUnit);
}

TEST(PlacementSearch, TensorsThatNeverMeetArePlannedApart) {
  std::vector<Lifetime> tensors;
  size_t highest = 0;
  for (int i = 0; i < 20; ++i) {
    const auto group = cut_rectangle({30, 16, 100 + i, 0}, static_cast<uint64_t>(i));
    for (const Lifetime& t : group) {
      tensors.push_back({t.bytes, t.first + 20 * i, t.last + 20 * i});
    }
    highest = static_cast<size_t>(100 + i) * kUnit;
  }
  const MemoryPlan plan = plan_memory(tensors);
  EXPECT_EQ(check_plan(tensors, plan), "");
  EXPECT_EQ(plan.arena_bytes, highest);
}

TEST(PlacementSearch, PlansTenThousandTensors) {
  for (const int longest : {20, 500}) {
    const auto tensors = random_lifetimes({10000, 5000, longest, 100}, 1);
    const MemoryPlan plan = plan_memory(tensors);
    EXPECT_EQ(check_plan(tensors, plan), "");
    EXPECT_LT(plan.gap(), 0.1);
  }
}

}  // namespace
}  // namespace tinytl

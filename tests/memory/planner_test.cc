// Plans by their definition: tensors alive together are apart, aligned and inside the arena.

#include "engine/memory/planner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <stdexcept>

namespace tinytl {
namespace {

// Deliberately neither the planner's own code nor check_plan: every pair, from the definition.
void expect_valid(const std::vector<Lifetime>& t, const MemoryPlan& plan, size_t alignment) {
  ASSERT_EQ(plan.offsets.size(), t.size());
  EXPECT_GE(plan.arena_bytes, plan.lower_bound_bytes);
  for (size_t i = 0; i < t.size(); ++i) {
    EXPECT_LE(plan.offsets[i] + t[i].bytes, plan.arena_bytes);
    EXPECT_EQ(plan.offsets[i] % alignment, 0u);
    for (size_t j = 0; j < i; ++j) {
      const bool same_time = t[i].first <= t[j].last && t[j].first <= t[i].last;
      const bool same_bytes = plan.offsets[i] < plan.offsets[j] + t[j].bytes &&
                              plan.offsets[j] < plan.offsets[i] + t[i].bytes;
      EXPECT_FALSE(same_time && same_bytes) << "tensors " << i << " and " << j;
    }
  }
}

size_t live_bytes_at(const std::vector<Lifetime>& tensors, int step, size_t alignment) {
  size_t live = 0;
  for (const Lifetime& t : tensors) {
    if (t.first <= step && step <= t.last)
      live += (t.bytes + alignment - 1) / alignment * alignment;
  }
  return live;
}

std::vector<Lifetime> random_lifetimes(std::mt19937& rng) {
  std::vector<Lifetime> tensors(1 + rng() % 40);
  for (Lifetime& t : tensors) {
    t.bytes = 1 + rng() % 1000;
    t.first = static_cast<int>(rng() % 50);
    t.last = t.first + static_cast<int>(rng() % 12);
  }
  return tensors;
}

// Lifetimes of which any two are either nested or apart, as of a stack.
void add_nested(int first, int last, std::mt19937& rng, std::vector<Lifetime>& tensors) {
  tensors.push_back({64 * (1 + rng() % 20), first, last});
  if (first + 2 >= last) return;
  const int middle = first + 1 + static_cast<int>(rng() % static_cast<uint32_t>(last - first - 1));
  if (middle > first + 1) add_nested(first + 1, middle - 1, rng, tensors);
  add_nested(middle, last, rng, tensors);
}

TEST(MemoryPlanner, SeparatesTensorsWithIdenticalLifetimes) {
  const std::vector<Lifetime> twins{{.bytes = 64, .first = 0, .last = 3},
                                    {.bytes = 64, .first = 0, .last = 3}};
  const MemoryPlan plan = plan_memory(twins);
  expect_valid(twins, plan, 64);
  EXPECT_EQ(plan.arena_bytes, 128u);
}

TEST(MemoryPlanner, SeparatesATensorFromOneThatIsBornInItsLastStep) {
  const std::vector<Lifetime> handover{{64, 0, 1}, {64, 1, 2}};
  EXPECT_EQ(plan_memory(handover).arena_bytes, 128u);
}

TEST(MemoryPlanner, ReusesTheBytesOfADeadTensor) {
  const std::vector<Lifetime> in_turn{{64, 0, 1}, {64, 2, 3}, {64, 4, 4}};
  EXPECT_EQ(plan_memory(in_turn).arena_bytes, 64u);
}

TEST(MemoryPlanner, RandomPlansNeverOverlap) {
  std::mt19937 rng(7);
  for (int trial = 0; trial < 1000; ++trial) {
    SCOPED_TRACE(trial);
    const std::vector<Lifetime> tensors = random_lifetimes(rng);
    const size_t alignment = size_t{1} << rng() % 8;
    const MemoryPlan plan = plan_memory(tensors, alignment);
    expect_valid(tensors, plan, alignment);
    EXPECT_EQ(check_plan(tensors, plan, alignment), "");
  }
}

TEST(MemoryPlanner, LowerBoundIsTheFullestStep) {
  std::mt19937 rng(3);
  for (int trial = 0; trial < 200; ++trial) {
    SCOPED_TRACE(trial);
    const std::vector<Lifetime> tensors = random_lifetimes(rng);
    size_t fullest = 0;
    for (int step = 0; step < 70; ++step) {
      fullest = std::max(fullest, live_bytes_at(tensors, step, 64));
    }
    const MemoryPlan plan = plan_memory(tensors, 64);
    EXPECT_EQ(plan.lower_bound_bytes, fullest);
    EXPECT_EQ(live_bytes_at(tensors, plan.lower_bound_step, 64), fullest);
    const LiveBound bound = live_bytes_bound(tensors, 64);
    EXPECT_EQ(bound.bytes, plan.lower_bound_bytes);
    EXPECT_EQ(bound.step, plan.lower_bound_step);
  }
}

TEST(MemoryPlanner, LiveBytesAreTheSumAtEachStep) {
  std::mt19937 rng(5);
  for (int trial = 0; trial < 50; ++trial) {
    const auto tensors = random_lifetimes(rng);
    for (const size_t steps : {size_t{0}, size_t{3}, size_t{100}}) {
      const std::vector<size_t> live = live_bytes_by_step(tensors, 64, steps);
      if (steps > 0) {
        ASSERT_EQ(live.size(), steps);
      }
      for (size_t s = 0; s < live.size(); ++s) {
        EXPECT_EQ(live[s], live_bytes_at(tensors, static_cast<int>(s), 64));
      }
    }
  }
  EXPECT_TRUE(live_bytes_by_step({}).empty());
}

TEST(MemoryPlanner, IsOptimalWhereLifetimesNest) {
  std::mt19937 rng(5);
  for (int trial = 0; trial < 200; ++trial) {
    SCOPED_TRACE(trial);
    std::vector<Lifetime> tensors;
    add_nested(0, 40, rng, tensors);
    std::shuffle(tensors.begin(), tensors.end(), rng);
    const MemoryPlan plan = plan_memory(tensors);
    expect_valid(tensors, plan, 64);
    EXPECT_EQ(plan.gap(), 0.0) << plan.arena_bytes << " of " << plan.lower_bound_bytes;
  }
}

TEST(MemoryPlanner, IsOptimalForAForwardPassAndItsMirror) {
  std::vector<Lifetime> tensors;
  for (int i = 0; i < 10; ++i) {
    tensors.push_back({64 * static_cast<size_t>(1 + i % 3), i, 40 - i});  // saved
    tensors.push_back({1024, i, i + 1});                                  // passed on
    tensors.push_back({512, 39 - i, 40 - i});                             // gradient
  }
  EXPECT_LT(plan_memory(tensors).gap(), 0.05);
}

TEST(MemoryPlanner, RoundsOddSizesUpToTheAlignment) {
  const std::vector<Lifetime> odd{{1, 0, 0}, {65, 0, 0}};
  const MemoryPlan plan = plan_memory(odd, 64);
  expect_valid(odd, plan, 64);
  EXPECT_EQ(plan.arena_bytes, 192u);
  EXPECT_EQ(plan.lower_bound_bytes, 192u);
  EXPECT_EQ(plan_memory(odd, 1).arena_bytes, 66u);
}

TEST(MemoryPlanner, NoTensorsNeedNoBytes) {
  const MemoryPlan plan = plan_memory({});
  EXPECT_EQ(plan.arena_bytes, 0u);
  EXPECT_EQ(plan.lower_bound_bytes, 0u);
  EXPECT_EQ(plan.gap(), 0.0);
  EXPECT_TRUE(plan.offsets.empty());
}

TEST(MemoryPlanner, ATensorOfZeroBytesTakesNoRoom) {
  const std::vector<Lifetime> tensors{{0, 0, 9}, {64, 0, 9}, {0, 3, 4}, {128, 2, 5}};
  const MemoryPlan plan = plan_memory(tensors);
  EXPECT_EQ(plan.arena_bytes, 192u);
  EXPECT_EQ(check_plan(tensors, plan), "");
}

TEST(MemoryPlanner, RefusesAnAlignmentThatIsNoPowerOfTwo) {
  const std::vector<Lifetime> one{{64, 0, 0}};
  EXPECT_THROW(plan_memory(one, 0), std::invalid_argument);
  EXPECT_THROW(plan_memory(one, 48), std::invalid_argument);
}

TEST(MemoryPlanner, RefusesALifetimeThatEndsBeforeItStarts) {
  EXPECT_THROW(plan_memory(std::vector<Lifetime>{{64, 3, 2}}), std::invalid_argument);
  EXPECT_THROW(plan_memory(std::vector<Lifetime>{{64, -1, 2}}), std::invalid_argument);
}

TEST(MemoryPlanner, TheSameTensorsGiveTheSamePlan) {
  std::mt19937 rng(11);
  const std::vector<Lifetime> tensors = random_lifetimes(rng);
  EXPECT_EQ(plan_memory(tensors).offsets, plan_memory(tensors).offsets);
}

}  // namespace
}  // namespace tinytl

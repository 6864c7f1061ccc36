// The checker is fed bad plans: one of each kind, and good ones that come close.

#include <gmock/gmock.h>

#include <random>

#include "bench/hard_instances.h"
#include "engine/memory/planner.h"

namespace tinytl {
namespace {

using testing::HasSubstr;

MemoryPlan plan_of(std::vector<size_t> offsets, size_t arena_bytes) {
  MemoryPlan plan;
  plan.offsets = std::move(offsets);
  plan.arena_bytes = arena_bytes;
  return plan;
}

const std::vector<Lifetime> kThree{{64, 0, 2}, {128, 1, 3}, {64, 3, 4}};

TEST(CheckPlan, AcceptsNeighboursInSpaceAndInTime) {
  EXPECT_EQ(check_plan(kThree, plan_of({0, 64, 0}, 192)), "");
}

TEST(CheckPlan, NamesTwoTensorsThatShareBytesWhileAlive) {
  EXPECT_THAT(check_plan(kThree, plan_of({0, 0, 128}, 192)),
              testing::AllOf(HasSubstr("tensor 1"), HasSubstr("tensor 0"), HasSubstr("share")));
}

TEST(CheckPlan, SeesAnOverlapOfOneByte) {
  EXPECT_THAT(check_plan(kThree, plan_of({0, 63, 0}, 192), 1), HasSubstr("share"));
  EXPECT_EQ(check_plan(kThree, plan_of({0, 64, 0}, 192), 1), "");
}

TEST(CheckPlan, SeesATensorInsideAnother) {
  const std::vector<Lifetime> tensors{{256, 0, 2}, {64, 1, 1}};
  EXPECT_THAT(check_plan(tensors, plan_of({0, 64}, 256)), HasSubstr("share"));
}

TEST(CheckPlan, CountsTheLastStepAsAlive) {
  const std::vector<Lifetime> tensors{{64, 0, 1}, {64, 1, 2}};
  EXPECT_THAT(check_plan(tensors, plan_of({0, 0}, 64)), HasSubstr("share"));
}

TEST(CheckPlan, SeesATensorThatLeavesTheArena) {
  EXPECT_THAT(check_plan(kThree, plan_of({0, 64, 0}, 191)), HasSubstr("tensor 1 leaves"));
}

TEST(CheckPlan, SeesAMisalignedTensor) {
  EXPECT_THAT(check_plan(kThree, plan_of({0, 96, 0}, 256)), HasSubstr("tensor 1 is not aligned"));
}

TEST(CheckPlan, SeesAMissingTensor) {
  EXPECT_THAT(check_plan(kThree, plan_of({0, 64}, 192)), HasSubstr("misses"));
  EXPECT_THAT(check_plan({}, plan_of({0}, 64)), HasSubstr("misses"));
}

TEST(CheckPlan, ATensorOfZeroBytesSharesNothing) {
  const std::vector<Lifetime> tensors{{256, 0, 2}, {0, 1, 1}};
  EXPECT_EQ(check_plan(tensors, plan_of({0, 64}, 256)), "");
}

TEST(CheckPlan, SeesATensorSoFarOutThatItsEndWrapsAround) {
  EXPECT_THAT(check_plan(kThree, plan_of({0, SIZE_MAX - 63, 0}, 192)),
              HasSubstr("tensor 1 leaves"));
}

TEST(CheckPlan, SeesTwoTensorsAtOneOffset) {
  const std::vector<Lifetime> tensors{{64, 0, 5}, {128, 1, 1}, {64, 2, 5}};
  EXPECT_EQ(check_plan(tensors, plan_of({0, 64, 64}, 192)), "");
  EXPECT_THAT(check_plan(tensors, plan_of({0, 64, 0}, 192)),
              testing::AllOf(HasSubstr("tensor 2"), HasSubstr("tensor 0")));
}

// From the definition, every pair.
bool some_pair_overlaps(const std::vector<Lifetime>& t, const std::vector<size_t>& offsets) {
  for (size_t i = 0; i < t.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const bool same_time = t[i].first <= t[j].last && t[j].first <= t[i].last;
      if (same_time && offsets[i] < offsets[j] + t[j].bytes &&
          offsets[j] < offsets[i] + t[i].bytes) {
        return true;
      }
    }
  }
  return false;
}

TEST(CheckPlan, AgreesWithEveryPairOnPlansWithOneTensorMoved) {
  std::mt19937 random(1);
  int wrong = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto tensors = random_lifetimes({40, 30, 10, 30}, seed);
    const MemoryPlan plan = plan_memory(tensors);
    for (int trial = 0; trial < 50; ++trial) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", trial " << trial);
      const size_t tensor = random() % tensors.size();
      MemoryPlan moved = plan;
      moved.offsets[tensor] = random() % ((plan.arena_bytes - tensors[tensor].bytes) / 64 + 1) * 64;
      const bool overlaps = some_pair_overlaps(tensors, moved.offsets);
      wrong += overlaps;
      EXPECT_EQ(check_plan(tensors, moved) != "", overlaps);
    }
  }
  EXPECT_GT(wrong, 500);
}

}  // namespace
}  // namespace tinytl

// The checker is fed bad plans: one of each kind, and good ones that come close.

#include <gmock/gmock.h>

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

}  // namespace
}  // namespace tinytl

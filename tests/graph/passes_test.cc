// prune, verify, to_string.

#include "engine/ops/passes.h"

#include <gmock/gmock.h>

#include "tests/graph/support.h"

namespace tinytl {
namespace {

constexpr ValueId kGone{UINT32_MAX};

TEST(Prune, DropsNodesAndParametersNobodyReads) {
  Graph g = mlp(2, 3, {4});
  linear(g, "unread", g.inputs[0], 7);
  const Graph pruned = prune(g);
  EXPECT_EQ(pruned.nodes().size(), 1u);
  EXPECT_EQ(pruned.find("unread.weight"), nullptr);
  EXPECT_NE(pruned.find("fc0.weight"), nullptr);
  EXPECT_EQ(pruned.source, g.source);
  verify(pruned);
}

TEST(Prune, NewIdsNameTheSameValues) {
  std::mt19937 rng(3);
  for (int trial = 0; trial < 50; ++trial) {
    Graph g = random_network(rng);
    linear(g, "unread", g.inputs[0], 7);
    std::vector<ValueId> ids;
    const Graph pruned = prune(g, &ids);
    verify(pruned);
    ASSERT_EQ(ids.size(), g.values().size());
    for (size_t v = 0; v < ids.size(); ++v) {
      if (ids[v] == kGone) continue;
      const Value& before = g.values()[v];
      const Value& after = pruned.value(ids[v]);
      EXPECT_EQ(after.name, before.name);
      EXPECT_EQ(after.type, before.type);
      EXPECT_EQ(after.role, before.role);
      EXPECT_EQ(after.data, before.data);
    }
    EXPECT_EQ(ids[index(g.inputs[0])], pruned.inputs[0]);
    EXPECT_EQ(ids[index(g.outputs[0])], pruned.outputs[0]);
    EXPECT_EQ(ids[index(g.id_of("unread.weight"))], kGone);
  }
}

TEST(Prune, KeepsTheNamesActivationsHave) {
  Graph g = mlp(2, 3, {4});
  g.value(g.outputs[0]).name = "logits";
  const Graph pruned = prune(g);
  EXPECT_EQ(pruned.value(pruned.outputs[0]).name, "logits");
  EXPECT_EQ(pruned.nodes()[0].name, "fc0");
}

TEST(Prune, KeepsUnreadInputsInTheirOrder) {
  Graph g;
  g.add_input("unread", {DType::kF32, {1}});
  const ValueId x = g.add_input("x", {DType::kF32, {2}});
  std::swap(g.inputs[0], g.inputs[1]);
  g.outputs = {emit(g, kTanh, "tanh", {x})};
  const Graph pruned = prune(g);
  ASSERT_EQ(pruned.inputs.size(), 2u);
  EXPECT_EQ(pruned.value(pruned.inputs[0]).name, "x");
  EXPECT_EQ(pruned.value(pruned.inputs[1]).name, "unread");
}

TEST(Prune, KeepsUpdatesAndWhatTheyRead) {
  Graph g = mlp(2, 3, {4});
  const ValueId sum = g.add_state("sum", {DType::kF32, {2, 3}});
  emit_all(g, kAccumulate, "accumulate", {sum, g.inputs[0]}, {{"factor", 1.0f}});
  const Graph pruned = prune(g);
  EXPECT_EQ(pruned.nodes().size(), 2u);
  EXPECT_EQ(pruned.value(pruned.id_of("sum")).role, Role::kState);
}

TEST(Prune, ChangesNothingTheSecondTime) {
  std::mt19937 rng(4);
  const Graph once = prune(random_network(rng));
  EXPECT_EQ(to_string(prune(once)), to_string(once));
}

TEST(ToString, PrintsOneLineANode) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::kF32, {2, 3}});
  g.outputs = {relu6(g, "relu", linear(g, "fc", x, 4))};
  EXPECT_EQ(to_string(g),
            "%3 = Linear(x, fc.weight, fc.bias) f32[2,4]  # fc\n"
            "%4 = Clip(%3) f32[2,4]  # relu\n");
}

class VerifyDeathTest : public testing::Test {
 protected:
  VerifyDeathTest() { testing::FLAGS_gtest_death_test_style = "fast"; }
  Graph g_ = mlp(2, 3, {4, 5});
};

TEST_F(VerifyDeathTest, AcceptsAGraphThatWasBuiltWithEmit) { verify(g_); }

TEST_F(VerifyDeathTest, ReadingAValueBeforeItIsWritten) {
  g_.node(NodeId{0}).inputs[0] = g_.outputs[0];
  EXPECT_DEATH(verify(g_), "written");
}

TEST_F(VerifyDeathTest, AnOutputOfAnotherTypeThanItsOperatorInfers) {
  g_.value(g_.outputs[0]).type.shape = {2, 6};
  EXPECT_DEATH(verify(g_), "type");
}

TEST_F(VerifyDeathTest, AValueWithoutItsProducer) {
  g_.value(g_.outputs[0]).producer = kNoNode;
  EXPECT_DEATH(verify(g_), "producer");
}

TEST_F(VerifyDeathTest, AParameterWhoseTensorHasAnotherShape) {
  g_.value(g_.id_of("fc0.bias")).data = random_tensor({3}, 1);
  EXPECT_DEATH(verify(g_), "data");
}

TEST_F(VerifyDeathTest, AnEmptyDimension) {
  g_.add_input("empty", {DType::kF32, {0, 2}});
  EXPECT_DEATH(verify(g_), "d > 0");
}

TEST_F(VerifyDeathTest, AnUpdateOfAnActivation) {
  emit_all(g_, kClear, "clear", {g_.outputs[0]});
  EXPECT_DEATH(verify(g_), "is_parameter");
}

}  // namespace
}  // namespace tinytl

#include "engine/schedule/cost.h"

#include <gtest/gtest.h>

#include "tests/graph/support.h"

namespace tinytl {
namespace {

TEST(Cost, ViewsTakeNoTime) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::kF32, {4, 6}});
  emit(g, kReshape, "view", {x}, {{"shape", Shape{24}}});
  EXPECT_EQ(node_seconds(g, g.nodes()[0]), 0);
}

TEST(Cost, CountsTheFlopsOfAConvolution) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::kF32, {2, 8, 8, 32}});
  convolution(g, "wide", x, 64, /*kernel=*/3);
  convolution(g, "point", x, 64, /*kernel=*/1);
  const NodeWork wide = node_work(g, g.nodes()[0]), point = node_work(g, g.nodes()[1]);
  EXPECT_EQ(wide.kind, CostKind::kConv);
  EXPECT_EQ(wide.flops, 2.0 * 2 * 8 * 8 * 9 * 32 * 64);
  EXPECT_EQ(point.kind, CostKind::kPointwise);
  EXPECT_EQ(point.flops, 2.0 * 2 * 8 * 8 * 32 * 64);
  EXPECT_EQ(point.bytes, 4.0 * (2 * 8 * 8 * (32 + 64) + 32 * 64 + 64));
}

TEST(Cost, GrowsWithTheBatch) {
  const double one = step_seconds(small_cnn(1)), eight = step_seconds(small_cnn(8));
  EXPECT_GT(one, 0);
  EXPECT_GT(eight, 2 * one);
  EXPECT_LT(eight, 8 * one);
}

TEST(Cost, IsTheSumOfItsNodes) {
  const Graph g = small_cnn(2);
  double sum = 0;
  for (const Node& node : g.nodes()) sum += node_seconds(g, node);
  EXPECT_DOUBLE_EQ(step_seconds(g), sum);
}

TEST(Cost, TheScaleOfThisMachineIsPlausible) {
  const double scale = machine_scale();
  EXPECT_GT(scale, 0.05);
  EXPECT_LT(scale, 1000);
}

}  // namespace
}  // namespace tinytl

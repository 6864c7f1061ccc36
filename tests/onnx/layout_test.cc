#include "engine/onnx/layout.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace tinytl::internal {
namespace {

using testing::ElementsAre;
using testing::Optional;

TEST(Layout, StoredShapeAndPositions) {
  const Order nhwc = channels_last(4);
  EXPECT_THAT(nhwc, ElementsAre(0, 2, 3, 1));
  EXPECT_THAT(permuted({8, 3, 10, 20}, nhwc), ElementsAre(8, 10, 20, 3));
  EXPECT_EQ(stored_position(nhwc, 1), 3);
  EXPECT_THAT(without(nhwc, {2, 3}), ElementsAre(0, 1));
}

TEST(Layout, MovingOnesMovesNoBytes) {
  EXPECT_TRUE(moves_only_ones({8, 1, 1, 3}, {0, 3, 1, 2}));
  EXPECT_FALSE(moves_only_ones({8, 2, 1, 3}, {0, 3, 1, 2}));
}

TEST(Layout, ReshapeOfAStoredTensor) {
  const Order nhwc = channels_last(4);
  // H and W lie together and may be merged; so may channels be split; C, H and W may not.
  EXPECT_THAT(reshaped_order({2, 3, 4, 5}, nhwc, {2, 3, 20}), Optional(Order{0, 2, 1}));
  EXPECT_THAT(reshaped_order({2, 6, 4, 5}, nhwc, {2, 2, 3, 4, 5}), Optional(Order{0, 3, 4, 1, 2}));
  EXPECT_EQ(reshaped_order({2, 3, 4, 5}, nhwc, {2, 60}), std::nullopt);
  EXPECT_THAT(reshaped_order({2, 3, 1, 1}, nhwc, {2, 3}), Optional(Order{0, 1}));
}

// What the order promises: the bytes of the stored tensor, seen in the new stored shape, are the
// reshaped tensor in the new order.
TEST(Layout, ReshapedOrderNeverLies) {
  std::mt19937 rng(3);
  const Shape dims{1, 2, 3, 1, 2};
  for (int trial = 0; trial < 500; ++trial) {
    Shape in = dims, out = dims;
    std::shuffle(in.begin(), in.end(), rng);
    std::shuffle(out.begin(), out.end(), rng);
    if (trial % 2 == 0) out = {out[0] * out[1], out[2], out[3] * out[4]};
    Order order = identity_order(in.size());
    std::shuffle(order.begin(), order.end(), rng);
    const auto result = reshaped_order(in, order, out);
    if (!result) continue;
    std::vector<float> logical(12), stored(12), expected(12);
    for (size_t i = 0; i < 12; ++i) logical[i] = static_cast<float>(i);
    permute(logical, in, order, stored);
    permute(logical, out, *result, expected);
    EXPECT_EQ(stored, expected) << to_string(in) << to_string(order) << to_string(out);
  }
}

}  // namespace
}  // namespace tinytl::internal

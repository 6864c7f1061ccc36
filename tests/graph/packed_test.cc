// Weights in 8 bits: how far they are from what they stand for.

#include "engine/graph/packed.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "tests/graph/support.h"

namespace tinytl {
namespace {

std::vector<float> unpacked(const Tensor& packed) {
  std::vector<float> values(static_cast<size_t>(packed.type().elements()));
  unpack(packed, values);
  return values;
}

double squared_error(const Tensor& packed, const Tensor& weights) {
  const std::vector<float> values = unpacked(packed);
  double sum = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    sum += std::pow(double{values[i]} - double{weights.f32()[i]}, 2);
  }
  return sum;
}

TEST(QuantizeWeights, ErrorIsAtMostHalfAScaleOfTheChannel) {
  auto weights = random_tensor({3, 3, 7}, 1);
  for (size_t i = 0; i < weights->f32().size(); ++i) {
    weights->f32()[i] *= std::pow(10.0f, static_cast<float>(i % 7) - 3);
  }
  const auto packed = quantize_weights(*weights);
  EXPECT_EQ(packed->type(), (TensorType{DType::kQ8, {3, 3, 7}}));
  EXPECT_EQ(packed->bytes().size(), 64u + 7 * 4);
  const std::vector<float> values = unpacked(*packed);
  for (size_t c = 0; c < 7; ++c) {
    float largest = 0, error = 0;
    for (size_t i = c; i < values.size(); i += 7) {
      largest = std::max(largest, std::abs(weights->f32()[i]));
      error = std::max(error, std::abs(values[i] - weights->f32()[i]));
    }
    EXPECT_LE(error, 0.5001f * largest / 127) << c;
  }
}

TEST(QuantizeWeights, ChannelsOfZerosAndTinyNumbersAreSafe) {
  const auto weights = make_tensor({2, 3}, std::vector<float>{0, 1e-45f, 3e38f, 0, 0, -3e38f});
  const std::vector<float> values = unpacked(*quantize_weights(*weights));
  EXPECT_THAT(std::span(values).first(2), testing::Each(0.0f));
  EXPECT_NEAR(values[2], 3e38f, 1e33f);
  EXPECT_NEAR(values[5], -3e38f, 1e33f);
}

TEST(ClusterWeights, FewerNumbersThanEntriesComeBackAlmostExactly) {
  auto weights = random_tensor({40, 50}, 1);
  for (float& w : weights->f32()) w = std::round(w * 20) / 20;
  EXPECT_LT(squared_error(*cluster_weights(*weights), *weights), 1e-9);
}

TEST(ClusterWeights, IsCloserThanEqualStepsOfTheWholeTensor) {
  std::mt19937 rng(1);
  std::normal_distribution<float> normal;
  auto weights = random_tensor({100, 80}, 1);
  for (float& w : weights->f32()) w = normal(rng);
  const auto [low, high] = std::ranges::minmax(weights->f32());
  const double step = (double{high} - double{low}) / 255;
  const auto packed = cluster_weights(*weights);
  EXPECT_LT(squared_error(*packed, *weights), 0.7 * 8000 * step * step / 12);
  const std::vector<float> values = unpacked(*packed);
  EXPECT_LE(std::set<float>(values.begin(), values.end()).size(), kTableEntries);
  const auto again = cluster_weights(*weights);
  EXPECT_TRUE(std::ranges::equal(packed->bytes(), again->bytes()));
}

TEST(PartOf, IsTheSameNumbersAlongEveryDimension) {
  const auto weights = random_tensor({4, 5, 6}, 1);
  for (const auto& packed : {quantize_weights(*weights), cluster_weights(*weights)}) {
    const std::vector<float> whole = unpacked(*packed);
    for (size_t d = 0; d < 3; ++d) {
      const std::vector<float> part = unpacked(*part_of(*packed, d, 1, 3));
      std::vector<float> expected;
      for (size_t i = 0; i < whole.size(); ++i) {
        const size_t at[] = {i / 30, i / 6 % 5, i % 6};
        if (at[d] >= 1 && at[d] < 4) expected.push_back(whole[i]);
      }
      EXPECT_EQ(part, expected) << d;
    }
  }
}

}  // namespace
}  // namespace tinytl

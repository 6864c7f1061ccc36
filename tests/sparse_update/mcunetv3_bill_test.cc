// The authors' bill, against sums done by hand.

#include "sparse_update/mcunetv3_bill.h"

#include <gtest/gtest.h>

#include "sparse_update/resolve.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

class Bill : public testing::TestWithParam<int64_t> {  // images at once
 protected:
  // 8x8 pixels everywhere; channels 3 -> 8, then two blocks of 8 -> 16 -> 16 -> 8; fc 8 -> 5.
  const Graph model_ = small_cnn(GetParam());
  const std::vector<ValueId> head_{model_.id_of("fc.weight"), model_.id_of("fc.bias")};

  Mcunetv3Bill bill(const std::string& entries) const {
    const std::string text = "{\"train\": [" + entries + "]}";
    return mcunetv3_bill(model_, resolve(parse_scheme(text, "s.json"), model_, head_), head_);
  }
};

INSTANTIATE_TEST_SUITE_P(Images, Bill, testing::Values(1, 8));

TEST_P(Bill, OfTheClassifierIsItsInput) { EXPECT_EQ(bill("").bytes(), 8); }

TEST_P(Bill, OfBiasesIsABitAnOutputAndFourBytesABias) {
  EXPECT_EQ(bill("{\"last_biases\": 1}").bytes(), 64 * 8 / 8 + 4 * 8 + 8);
  EXPECT_EQ(bill("{\"last_biases\": 2}").bytes(), 64 * (8 + 16) / 8 + 4 * (8 + 16) + 8);
}

TEST_P(Bill, OfAWeightIsItsChannelsAndThoseOfItsInput) {
  const int64_t biases = bill("{\"last_biases\": 3}").bytes();
  const auto with = [&](const char* entry) {
    return bill("{\"last_biases\": 3}, " + std::string(entry)).bytes() - biases;
  };
  EXPECT_EQ(with("{\"conv\": 6}"), 64 * 16 + 16 * 8);
  EXPECT_EQ(with("{\"conv\": 6, \"channels\": 0.25}"), 64 * 4 + 4 * 8);
  EXPECT_EQ(with("{\"conv\": 5, \"channels\": 0.5}"), 64 * 8 + 8 * 9) << "depthwise 3x3";
  EXPECT_EQ(with("{\"conv\": 4, \"channels\": 0}"), 0);
}

TEST_P(Bill, OfALayerWhoseBiasIsFrozenHasTheMasksBehindIt) {
  EXPECT_EQ(bill("{\"conv\": 5}").bytes(), 64 * (16 + 8) / 8 + 64 * 16 + 16 * 9 + 8);
}

TEST_P(Bill, HasALineAConvolution) {
  const Mcunetv3Bill b = bill("{\"last_biases\": 1}");
  ASSERT_EQ(b.lines.size(), 7u);
  EXPECT_EQ(b.lines[5].bits(), 0);
  EXPECT_EQ(b.lines[6].mask, 64 * 8);
  EXPECT_EQ(b.lines[6].bias, 32 * 8);
}

}  // namespace
}  // namespace tinytl

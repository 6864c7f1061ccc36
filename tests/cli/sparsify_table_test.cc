// From rows of runs to what parts bring.

#include "tinytl/cli/sparsify_table.h"

#include <gmock/gmock.h>

#include "engine/graph/error.h"
#include "tests/data/support.h"

namespace tinytl::cli {
namespace {

PartRow row(const std::string& part, int64_t number, double channels, double value) {
  return {.measure = "accuracy",
          .part = part,
          .number = number,
          .channels = channels,
          .options = "--epochs 5",
          .value = value};
}

TEST(MeasuredParts, AreGainsOverTheClassifierAndOverAllBiases) {
  const std::vector<PartRow> rows{row("classifier", 0, 0, 0.5), row("biases", 4, 0, 0.7),
                                  row("biases", 2, 0, 0.6), row("weight", 1, 0.5, 0.75),
                                  row("weight", 3, 1, 0.65)};
  const auto parts = measured_parts(rows, "accuracy", 4);
  ASSERT_TRUE(parts.has_value());
  EXPECT_THAT(parts->gains.biases,
              testing::Pointwise(testing::DoubleNear(1e-12), {0.0, 0.05, 0.1, 0.15, 0.2}));
  EXPECT_NEAR(parts->gains.weights[1][2], 0.05, 1e-12);
  EXPECT_NEAR(parts->gains.weights[3][3], -0.05, 1e-12);
  EXPECT_EQ(parts->gains.weights[0][0], 0) << "not known";
  EXPECT_EQ(parts->known, 5u);
  EXPECT_EQ(parts->all, 4 * 5u + 1);
}

TEST(MeasuredParts, OfOtherOptionsOrMeasuresDoNotMix) {
  std::vector<PartRow> rows{row("classifier", 0, 0, 0.5), row("biases", 2, 0, 0.9),
                            row("classifier", 0, 0, 0.2), row("biases", 2, 0, 0.3)};
  rows[2].options = rows[3].options = "--epochs 9";
  EXPECT_NEAR(measured_parts(rows, "accuracy", 2)->gains.biases[2], 0.1, 1e-12);
  EXPECT_FALSE(measured_parts(rows, "fisher", 2).has_value());
}

TEST(MeasuredParts, OfAnotherNetworkAreRefused) {
  EXPECT_THROW(measured_parts({row("weight", 4, 1, 0.5)}, "accuracy", 4), InputError);
  EXPECT_THROW(measured_parts({row("biases", 5, 0, 0.5)}, "accuracy", 4), InputError);
}

TEST(PartTable, KeepsEstimatesAsTheyAre) {
  const TempFolder folder;
  Contributions gains = by_part<double>(2);
  gains.biases = {0, 1.25, 1e-7};
  gains.weights[1][2] = 1.0 / 3;
  {
    PartTable table(folder / "contributions.csv");
    for (const PartRow& r : rows_of(gains, "fisher", "8 samples", {"a", "b"})) table.append(r);
  }
  const PartTable table(folder / "contributions.csv");
  const auto parts = measured_parts(table.rows(), "fisher", 2);
  ASSERT_TRUE(parts.has_value());
  EXPECT_EQ(parts->gains.biases, gains.biases);
  EXPECT_EQ(parts->gains.weights, gains.weights);
  EXPECT_EQ(parts->known, parts->all);
  EXPECT_TRUE(table.has(table.rows().front()));
}

}  // namespace
}  // namespace tinytl::cli

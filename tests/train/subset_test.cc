// Holding out a part of the training set.

#include "tinytl/train/subset.h"

#include <map>
#include <set>

#include "tests/train/support.h"

namespace tinytl {
namespace {

std::vector<std::string> names(const Dataset& data) {
  std::vector<std::string> result;
  for (int64_t i = 0; i < data.size(); ++i) result.push_back(data.name(i));
  return result;
}

TEST(HoldOut, TakesItsShareOfEveryClass) {
  const ColourDataset data(10, 1);
  const HoldOut parts = hold_out(data, 0.2, 7);
  std::map<int32_t, int> held;
  for (int64_t i = 0; i < parts.held_out->size(); ++i) ++held[parts.held_out->label(i)];
  EXPECT_EQ(held, (std::map<int32_t, int>{{0, 2}, {1, 2}, {2, 2}}));
  EXPECT_EQ(parts.train->size(), 24);
  EXPECT_EQ(parts.train->classes(), data.classes());
}

TEST(HoldOut, EverySampleIsInOnePart) {
  const ColourDataset data(7, 1);
  const HoldOut parts = hold_out(data, 0.3, 7);
  std::multiset<std::string> all;
  for (const std::string& name : names(*parts.train)) all.insert(name);
  for (const std::string& name : names(*parts.held_out)) all.insert(name);
  const auto expected = names(data);
  EXPECT_EQ(all, std::multiset<std::string>(expected.begin(), expected.end()));
}

TEST(HoldOut, DependsOnTheSeedAlone) {
  const ColourDataset data(20, 1);
  EXPECT_EQ(names(*hold_out(data, 0.2, 7).held_out), names(*hold_out(data, 0.2, 7).held_out));
  EXPECT_NE(names(*hold_out(data, 0.2, 7).held_out), names(*hold_out(data, 0.2, 8).held_out));
}

TEST(HoldOut, ClassOfOneStaysInTraining) {
  const ColourDataset data(1, 1);
  const HoldOut parts = hold_out(data, 0.2, 7);
  EXPECT_EQ(parts.train->size(), 3);
  EXPECT_EQ(parts.held_out->size(), 0);
  EXPECT_EQ(hold_out(ColourDataset(2, 1), 0.01, 7).held_out->size(), 3) << "one of each two";
}

TEST(HoldOut, SamplesAreThoseOfTheWhole) {
  const ColourDataset data(5, 1);
  const HoldOut parts = hold_out(data, 0.2, 7);
  Sample whole, part;
  for (int64_t i = 0; i < data.size(); ++i) {
    if (data.name(i) != parts.held_out->name(0)) continue;
    data.load(i, 3, 0, whole);
    parts.held_out->load(0, 3, 0, part);
    EXPECT_EQ(whole.image.pixels, part.image.pixels);
    EXPECT_EQ(data.label(i), parts.held_out->label(0));
  }
}

}  // namespace
}  // namespace tinytl

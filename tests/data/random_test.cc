#include "tinytl/data/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <vector>

namespace tinytl {
namespace {

TEST(Permutation, HitsEveryPositionOnce) {
  for (const uint64_t size : {1u, 2u, 3u, 4u, 5u, 17u, 64u, 1020u, 4097u}) {
    const Permutation order(size, 3, 1);
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < size; ++i) seen.insert(order(i));
    EXPECT_EQ(seen.size(), size);
    EXPECT_EQ(*seen.rbegin(), size - 1);
  }
}

TEST(Permutation, DiffersBySeedAndEpoch) {
  const auto order = [](uint64_t seed, uint64_t epoch) {
    const Permutation permutation(100, seed, epoch);
    std::vector<uint64_t> all;
    for (uint64_t i = 0; i < 100; ++i) all.push_back(permutation(i));
    return all;
  };
  EXPECT_EQ(order(1, 0), order(1, 0));
  EXPECT_NE(order(1, 0), order(1, 1));
  EXPECT_NE(order(1, 0), order(2, 0));
  EXPECT_NE(order(1, 2), order(2, 1));
}

// Each sample lands in each tenth of the epoch equally often: chi-squared with 9 degrees of
// freedom.
TEST(Permutation, IsUniform) {
  constexpr uint64_t kSize = 1000;
  constexpr int kEpochs = 2000;
  for (const uint64_t sample : {0u, 1u, 499u, 999u}) {
    std::vector<int> tenth(10);
    for (int epoch = 0; epoch < kEpochs; ++epoch) {
      ++tenth[Permutation(kSize, 5, static_cast<uint64_t>(epoch))(sample) / 100];
    }
    double chi2 = 0;
    for (const int count : tenth) chi2 += std::pow(count - kEpochs / 10., 2) / (kEpochs / 10.);
    EXPECT_LT(chi2, 27.9) << "sample " << sample;  // exceeded by chance once in a thousand
  }
}

TEST(Random, UniformHasTheRightMeanAndRange) {
  Random random(1, 2, 3);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double u = random.uniform(2, 4);
    ASSERT_GE(u, 2);
    ASSERT_LT(u, 4);
    sum += u;
  }
  EXPECT_NEAR(sum / 10000, 3, 0.03);
}

TEST(Random, BelowReachesBothEnds) {
  Random random(1, 2, 3);
  std::set<int> seen;
  for (int i = 0; i < 200; ++i) seen.insert(random.below(3));
  EXPECT_EQ(seen, (std::set<int>{0, 1, 2}));
}

// Splits and selections on users' disks depend on these bits: they may never change.
TEST(Random, HashesArePinned) {
  EXPECT_EQ(hash_text("rose/img_1.jpg"), 8735352477345451725u);
  EXPECT_EQ(Random(1, 2, 3).bits(), 16614420678607539146u);
  EXPECT_EQ(Permutation(1000, 1, 2)(3), 507u);
}

}  // namespace
}  // namespace tinytl

// The search, against trying everything.

#include "sparse_update/search.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

namespace tinytl {
namespace {

struct Problem {
  Contributions gains;
  Costs costs;
};

// Biases cost more and more; gains may be below zero, as measured ones are.
Problem random_problem(int64_t convolutions, std::mt19937& rng) {
  Problem p{by_part<double>(convolutions), by_part<int64_t>(convolutions)};
  std::uniform_real_distribution<double> gain(-0.2, 1);
  for (size_t k = 1; k < p.gains.biases.size(); ++k) {
    p.gains.biases[k] = p.gains.biases[k - 1] + 0.3 * gain(rng);
    p.costs.biases[k] = p.costs.biases[k - 1] + 1 + static_cast<int64_t>(rng() % 20);
  }
  for (size_t i = 0; i < p.gains.weights.size(); ++i) {
    for (size_t r = 0; r < kRatioCount; ++r) {
      p.gains.weights[i][r] = gain(rng);
      p.costs.weights[i][r] = 1 + static_cast<int64_t>(rng() % 60);
    }
  }
  return p;
}

// Calls visit(choice) for every choice.
template <typename Visit>
void for_every_choice(int64_t convolutions, Visit&& visit) {
  for (int64_t k = 0; k <= convolutions; ++k) {
    int64_t combinations = 1;
    for (int64_t i = 0; i < k; ++i) combinations *= kRatioCount + 1;
    for (int64_t code = 0; code < combinations; ++code) {
      Choice choice{k, std::vector<int>(static_cast<size_t>(convolutions), -1)};
      int64_t rest = code;
      for (int64_t i = convolutions - k; i < convolutions; ++i) {
        choice.ratio[static_cast<size_t>(i)] = static_cast<int>(rest % (kRatioCount + 1)) - 1;
        rest /= kRatioCount + 1;
      }
      visit(choice);
    }
  }
}

TEST(BestChoice, IsTheBestOfAll) {
  constexpr int64_t kConvolutions = 4;
  std::mt19937 rng(3);
  for (int trial = 0; trial < 20; ++trial) {
    const Problem p = random_problem(kConvolutions, rng);
    for (const int64_t budget : {0, 10, 40, 80, 1000}) {
      double most = 0;
      for_every_choice(kConvolutions, [&](const Choice& choice) {
        if (sum_of(p.costs, choice) <= budget) most = std::max(most, sum_of(p.gains, choice));
      });
      const Choice found = best_choice(p.gains, p.costs, budget);
      EXPECT_LE(sum_of(p.costs, found), budget);
      EXPECT_NEAR(sum_of(p.gains, found), most, 1e-12) << "trial " << trial << ", " << budget;
    }
  }
}

TEST(BestChoice, OfALargeBudgetKeepsWithinIt) {
  std::mt19937 rng(5);
  Problem p = random_problem(30, rng);
  for (auto& ratios : p.costs.weights) {
    for (int64_t& cost : ratios) cost *= 1'000'003;
  }
  const int64_t budget = 500'000'000;
  const Choice found = best_choice(p.gains, p.costs, budget);
  EXPECT_LE(sum_of(p.costs, found), budget);
  EXPECT_GT(sum_of(p.gains, found), 0);
}

// Memory that is a peak, not a sum: what is kept of a layer counts while those before it run back.
TEST(SearchScheme, ComesNearTheBestWhereCostsDoNotAddUp) {
  constexpr int64_t kConvolutions = 4;
  std::mt19937 rng(9);
  double found_sum = 0, best_sum = 0;
  for (int trial = 0; trial < 20; ++trial) {
    const Problem p = random_problem(kConvolutions, rng);
    const auto peak = [&](const Choice& choice) {
      int64_t alive = 0, most = 120;
      for (size_t i = 0; i < choice.ratio.size(); ++i) {
        if (choice.ratio[i] >= 0) {
          alive += p.costs.weights[i][static_cast<size_t>(choice.ratio[i])];
        }
        most = std::max(most, alive + 40 * static_cast<int64_t>(4 - i));
      }
      return most + p.costs.biases[static_cast<size_t>(choice.biases)];
    };
    const auto fits = [&](const Choice& choice) { return peak(choice) <= 190; };
    double most = 0;
    for_every_choice(kConvolutions, [&](const Choice& choice) {
      if (fits(choice)) most = std::max(most, sum_of(p.gains, choice));
    });
    const FoundScheme found = search_scheme(p.gains, p.costs, fits);
    EXPECT_TRUE(found.fits);
    EXPECT_TRUE(fits(found.choice));
    found_sum += sum_of(p.gains, found.choice);
    best_sum += most;
  }
  EXPECT_GT(found_sum, 0.9 * best_sum);
}

TEST(SearchScheme, SaysWhereNothingFits) {
  std::mt19937 rng(1);
  const Problem p = random_problem(3, rng);
  EXPECT_FALSE(search_scheme(p.gains, p.costs, [](const Choice&) { return false; }).fits);
}

TEST(Choices, BecomeSchemeFiles) {
  const SchemeFile file = scheme_of(Choice{3, {-1, -1, 0, 3}});
  ASSERT_EQ(file.train.size(), 3u);
  EXPECT_EQ(to_text(file.train[0]), "{\"last_biases\": 3}");
  EXPECT_EQ(to_text(file.train[1]), "{\"conv\": 2, \"channels\": 0.125}");
  EXPECT_EQ(to_text(file.train[2]), "{\"conv\": 3, \"channels\": 1.0}");
  EXPECT_TRUE(scheme_of(Choice{0, {-1}}).train.empty());
}

TEST(RankCorrelation, IsThatOfRanks) {
  EXPECT_DOUBLE_EQ(rank_correlation({1, 2, 3}, {10, 200, 3000}), 1);
  EXPECT_DOUBLE_EQ(rank_correlation({1, 2, 3}, {3, 2, 1}), -1);
  EXPECT_DOUBLE_EQ(rank_correlation({1, 2, 3}, {5, 5, 5}), 0);
  // Ranks 0 1 2 3 against 0 2.5 1 2.5 (Pearson by hand: 3 / sqrt(5 x 4.5)).
  EXPECT_NEAR(rank_correlation({1, 2, 3, 4}, {1, 9, 3, 9}), 3 / std::sqrt(22.5), 1e-12);
}

}  // namespace
}  // namespace tinytl

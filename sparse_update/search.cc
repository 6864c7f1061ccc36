#include "sparse_update/search.h"

#include <algorithm>
#include <numeric>

#include "engine/graph/error.h"

namespace tinytl {
namespace {

constexpr int64_t kMostUnits = 50000;

// Best sums of the weights of the last convolutions, by units spent at most.
class Knapsack {
 public:
  Knapsack(const Contributions& gains, const Costs& costs, int64_t budget)
      : gains_(gains), costs_(costs), unit_(std::max<int64_t>(1, budget / kMostUnits)) {
    TT_ASSERT(budget >= 0 && gains.convolutions() == costs.convolutions());
    units_ = budget / unit_;
    taken_.assign(gains.weights.size(), std::vector<int8_t>(size(), -1));
  }

  Choice run() {
    std::vector<double> best(size(), 0);
    double most = 0;
    int64_t most_biases = 0;
    const int64_t count = gains_.convolutions();
    for (int64_t k = 1; k <= count; ++k) {
      add(static_cast<size_t>(count - k), best);
      const int64_t left = units_ - units_of(costs_.biases[static_cast<size_t>(k)]);
      if (left < 0) break;  // more biases cost more
      const double gain = gains_.biases[static_cast<size_t>(k)] + best[static_cast<size_t>(left)];
      if (gain <= most) continue;
      most = gain;
      most_biases = k;
    }
    return choice_of(most_biases);
  }

 private:
  size_t size() const { return static_cast<size_t>(units_) + 1; }
  int64_t units_of(int64_t cost) const { return (cost + unit_ - 1) / unit_; }

  // Allows a part of the weight of convolution `i`.
  void add(size_t i, std::vector<double>& best) {
    for (int64_t left = units_; left >= 0; --left) {
      double most = best[static_cast<size_t>(left)];
      for (size_t r = 0; r < kRatioCount; ++r) {
        const int64_t rest = left - units_of(costs_.weights[i][r]);
        if (rest < 0) continue;
        const double gain = best[static_cast<size_t>(rest)] + gains_.weights[i][r];
        if (gain <= most) continue;
        most = gain;
        taken_[i][static_cast<size_t>(left)] = static_cast<int8_t>(r);
      }
      best[static_cast<size_t>(left)] = most;
    }
  }

  Choice choice_of(int64_t biases) const {
    Choice choice{biases, std::vector<int>(gains_.weights.size(), -1)};
    int64_t left = units_ - units_of(costs_.biases[static_cast<size_t>(biases)]);
    for (size_t i = gains_.weights.size() - static_cast<size_t>(biases); i < gains_.weights.size();
         ++i) {
      const int8_t taken = taken_[i][static_cast<size_t>(left)];
      choice.ratio[i] = taken;
      if (taken >= 0) left -= units_of(costs_.weights[i][static_cast<size_t>(taken)]);
    }
    return choice;
  }

  const Contributions& gains_;
  const Costs& costs_;
  const int64_t unit_;
  int64_t units_ = 0;
  // [convolution][units]: the ratio that it takes there, where those before it are still frozen.
  std::vector<std::vector<int8_t>> taken_;
};

// The most that a scheme can cost.
int64_t cost_of_all(const Costs& costs) {
  int64_t sum = costs.biases.back();
  for (const std::vector<int64_t>& ratios : costs.weights) sum += std::ranges::max(ratios);
  return sum;
}

class Search {
 public:
  Search(const Contributions& gains, const Costs& estimate,
         const std::function<bool(const Choice&)>& fits)
      : gains_(gains), estimate_(estimate), fits_(fits) {}

  FoundScheme run() {
    const Choice nothing{0, std::vector<int>(gains_.weights.size(), -1)};
    if (!try_out(nothing)) return {nothing, false, planned_};
    bisect();
    while (fill()) {
    }
    return {best_, true, planned_};
  }

 private:
  // Remembers the best that fits.
  bool try_out(const Choice& choice) {
    ++planned_;
    if (!fits_(choice)) return false;
    if (best_.ratio.empty() || sum_of(gains_, choice) > sum_of(gains_, best_)) best_ = choice;
    return true;
  }

  void bisect() {
    constexpr int kSteps = 18;
    int64_t low = 0, high = cost_of_all(estimate_);
    if (try_out(best_choice(gains_, estimate_, high))) return;
    for (int i = 0; i < kSteps && high - low > 1; ++i) {
      const int64_t middle = std::midpoint(low, high);
      (try_out(best_choice(gains_, estimate_, middle)) ? low : high) = middle;
    }
  }

  // One pass of single parts that bring more and still fit; whether there was one.
  bool fill() {
    struct Step {
      Choice choice;
      double gain_a_cost;
    };
    std::vector<Step> steps;
    const auto consider = [&](Choice choice) {
      const double gain = sum_of(gains_, choice) - sum_of(gains_, best_);
      const int64_t cost = sum_of(estimate_, choice) - sum_of(estimate_, best_);
      if (gain > 0) steps.push_back({std::move(choice), gain / double(std::max<int64_t>(1, cost))});
    };
    for (size_t i = 0; i < best_.ratio.size(); ++i) {
      if (static_cast<int64_t>(i) < gains_.convolutions() - best_.biases) continue;
      for (int r = -1; r < static_cast<int>(kRatioCount); ++r) {
        Choice choice = best_;
        choice.ratio[i] = r;
        if (r != best_.ratio[i]) consider(std::move(choice));
      }
    }
    for (int64_t more = 1; best_.biases + more <= gains_.convolutions(); ++more) {
      Choice choice = best_;
      choice.biases += more;
      consider(std::move(choice));
    }
    std::ranges::stable_sort(steps, std::greater<>(), &Step::gain_a_cost);
    return std::ranges::any_of(steps, [&](const Step& step) { return try_out(step.choice); });
  }

  const Contributions& gains_;
  const Costs& estimate_;
  const std::function<bool(const Choice&)>& fits_;
  Choice best_;
  size_t planned_ = 0;
};

}  // namespace

Choice best_choice(const Contributions& gains, const Costs& costs, int64_t budget) {
  return Knapsack(gains, costs, budget).run();
}

FoundScheme search_scheme(const Contributions& gains, const Costs& estimate,
                          const std::function<bool(const Choice&)>& fits) {
  return Search(gains, estimate, fits).run();
}

}  // namespace tinytl

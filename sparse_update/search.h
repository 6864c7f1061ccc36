// Which parts to train within a budget: the largest sum of contributions.
#pragma once

#include <functional>

#include "sparse_update/contributions.h"

namespace tinytl {

// The choice of the largest sum of contributions whose costs add up to at most `budget` (>= 0).
// Exact: for every number of biases, a multiple-choice knapsack over the weights among them, by
// dynamic programming over the budget. Costs are rounded up to 1/50000 of it where they are larger
// than that. O(convolutions x ratios x min(budget, 50000)).
Choice best_choice(const Contributions& gains, const Costs& costs, int64_t budget);

struct FoundScheme {
  Choice choice;
  bool fits = false;   // false: not even the classifier alone does
  size_t planned = 0;  // how often `fits` was asked
};

// The same where costs do not add up, as the bytes of a planned arena do not: `fits` plans a
// choice. `estimate` are costs that nearly add up; the budget for them is found by bisection, and
// what is left is then filled part by part, the most gain an estimated cost first. Asks `fits` some
// 20 times and then once a part and pass; the choice returned was asked and fits.
FoundScheme search_scheme(const Contributions& gains, const Costs& estimate,
                          const std::function<bool(const Choice&)>& fits);

}  // namespace tinytl

// Greedy placement: items one after another, each where it fits best among those already placed.
#pragma once

#include "engine/memory/problem.h"

namespace tinytl {

// Several orders (by size, size times duration, duration, and the live bytes around them; Pisarchyk
// & Lee, arXiv:2001.03288), the best placement, stopping at `target` units. What it costs is taken
// off `effort`; it does not stop for it. Sets `order` to that of the result. O(n^2) an order.
Placement place_greedily(const Problem& problem, size_t target, size_t& effort,
                         std::vector<int>& order);

// Moves items that stick out above `target` forward in `order`, one at a time, and keeps what is no
// worse, until the target is met or `effort` is used up.
void improve_order(const Problem& problem, size_t target, size_t& effort, std::vector<int>& order,
                   Placement& best);

}  // namespace tinytl

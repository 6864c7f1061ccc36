// Greedy placement: items one after another, each where it fits best among those already placed.
#pragma once

#include "engine/memory/problem.h"

namespace tinytl {

// One item of an order of placement.
struct Turn {
  int item = 0;
  bool from_top = false;  // as high below the target as it fits; else into the smallest gap
};
using PlacementOrder = std::vector<Turn>;

// The placement of that order, or height SIZE_MAX as soon as it is known to be above `limit`. An
// item that fits nowhere below the target lies above all others. O(n^2); what it costs is taken off
// `effort`.
Placement place_in_order(const Problem& problem, std::span<const Turn> order, size_t target,
                         size_t limit, size_t& effort);

// The units alive at the fullest section of each item. O(s log s + n).
std::vector<size_t> pressures(const Problem& problem);
// The units alive in each section.
std::vector<size_t> live_units(const Problem& problem);

// Several orders (by size, size times duration, duration, and the live units around them; Pisarchyk
// & Lee, arXiv:2001.03288; and from both ends: what lives through the fullest section from below,
// what is born and dies on one side of it from above), the best placement, stopping at `target`
// units, or where the effort ends. No effort given: all of them. Sets `order` to that of the
// result.
Placement place_greedily(const Problem& problem, size_t target, size_t& effort,
                         PlacementOrder& order);

// Moves items that stick out above `target` forward in `order`, one at a time, and keeps what is no
// worse, until the target is met or `effort` is used up.
void improve_order(const Problem& problem, size_t target, size_t& effort, PlacementOrder& order,
                   Placement& best);

}  // namespace tinytl

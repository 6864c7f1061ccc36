// Exact placement below a given height, for problems that greedy placement leaves with a gap.
#pragma once

#include "engine/memory/problem.h"

namespace tinytl {

enum class Fit : uint8_t { kFound, kImpossible, kGaveUp };

// Looks for a placement of at most `capacity` units: depth first, from the ground up.
//
// In a valley of the skyline, what lies on its leftmost section is one of the items that start
// there and fit between the slopes, or nothing: where nothing lies anywhere, the valley loses the
// room up to the lower slope. The same holds of its rightmost section. That leaves out only
// placements in which some item could be pushed down. A branch ends as soon as a section has lost
// more than it has to spare. Parts of the skyline that no unplaced item connects are independent:
// what is impossible in one is remembered, and never retried for choices made in another.
//
// After MiniMalloc (Moffitt, ASPLOS 2023): placements pushed down as far as they go, bounds by
// section. `effort` counts down the sections and items looked at, with restarts in other orders,
// the same on every machine. `offsets` is set if kFound, else untouched.
Fit fit_below(const Problem& problem, size_t capacity, size_t& effort,
              std::vector<size_t>& offsets);

}  // namespace tinytl

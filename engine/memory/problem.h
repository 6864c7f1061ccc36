// What the placement algorithms work on: sizes in units of the alignment, time without idle steps.
#pragma once

#include "engine/memory/planner.h"

namespace tinytl {

// A tensor of `size` units, alive in the sections [first, last]. `steps` guides the search only:
// how long it lives, where that is not told by its sections.
struct Item {
  size_t size = 0;
  int first = 0, last = 0;
  int steps = 1;
};

// Items that must be placed together: no other tensor is ever alive with one of them.
//
// A section stands for the steps at which one maximal set of items is alive. Two items share a
// section exactly if they share a step, so the placement problem is the same with fewer steps.
struct Problem {
  std::vector<Item> items;
  std::vector<size_t> tensor;  // by item: its index among the lifetimes
  int sections = 0;
  size_t bound = 0;  // units alive in the fullest section
};

// The lifetimes as independent problems, that with the highest bound first. Tensors of no bytes are
// left out. O(n log n).
std::vector<Problem> make_problems(std::span<const Lifetime> tensors, size_t alignment);

// Where the items of a problem are, and the units they take together.
struct Placement {
  std::vector<size_t> offsets;
  size_t height = SIZE_MAX;
};

}  // namespace tinytl

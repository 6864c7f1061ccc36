#include "engine/memory/planner.h"

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "engine/memory/greedy.h"
#include "engine/memory/skyline_search.h"

namespace tinytl {
namespace {

size_t align_up(size_t n, size_t alignment) { return (n + alignment - 1) & ~(alignment - 1); }

void check_arguments(std::span<const Lifetime> tensors, size_t alignment) {
  if (!std::has_single_bit(alignment)) {
    throw std::invalid_argument("plan_memory: the alignment must be a power of two");
  }
  for (const Lifetime& t : tensors) {
    if (t.first < 0 || t.last < t.first) {
      throw std::invalid_argument("plan_memory: a lifetime ends before it starts");
    }
  }
}

size_t height_of(const Problem& problem, const std::vector<size_t>& offsets) {
  size_t height = 0;
  for (size_t i = 0; i < offsets.size(); ++i) {
    height = std::max(height, offsets[i] + problem.items[i].size);
  }
  return height;
}

// Exact search with at most `share` of the effort.
Fit search_below(const Problem& problem, size_t capacity, size_t share, size_t& effort,
                 Placement& best) {
  share = std::min(share, effort);
  size_t left = share;
  const Fit fit = fit_below(problem, capacity, left, best.offsets);
  effort -= share - left;
  if (fit == Fit::kFound) best.height = height_of(problem, best.offsets);
  return fit;
}

// Greedy placement is enough for most training graphs; of the others, a short exact search finds
// most, and better orders for greedy placement some. What is left then is for a long exact search,
// at the target and then, by halves, at heights between it and the best known.
Placement solve(const Problem& problem, size_t target, size_t& effort) {
  std::vector<int> order;
  Placement best = place_greedily(problem, target, effort, order);
  if (best.height <= target || effort == 0) return best;
  Fit fit = search_below(problem, target, effort / 64, effort, best);
  if (fit == Fit::kFound) return best;
  size_t low = target;  // nothing is looked for below
  if (fit == Fit::kGaveUp) {
    size_t share = effort / 8;
    effort -= share;
    improve_order(problem, target, share, order, best);
    effort += share;
    if (best.height <= target) return best;
    fit = search_below(problem, target, effort / 2, effort, best);
  }
  if (fit != Fit::kFound) low = target + 1;
  while (low < best.height && effort > 0) {
    const size_t middle = low + (best.height - low) / 2;
    fit = search_below(problem, middle, effort / 4 + 1, effort, best);
    if (fit != Fit::kFound) low = middle + 1;
  }
  return best;
}

}  // namespace

LiveBound live_bytes_bound(std::span<const Lifetime> tensors, size_t alignment) {
  int steps = 0;
  for (const Lifetime& t : tensors) steps = std::max(steps, t.last + 1);
  std::vector<size_t> live(static_cast<size_t>(steps) + 1, 0);
  for (const Lifetime& t : tensors) {  // differences first, sums after; unsigned wrap is intended
    live[static_cast<size_t>(t.first)] += align_up(t.bytes, alignment);
    live[static_cast<size_t>(t.last) + 1] -= align_up(t.bytes, alignment);
  }
  LiveBound bound;
  size_t sum = 0;
  for (int step = 0; step < steps; ++step) {
    sum += live[static_cast<size_t>(step)];
    if (sum > bound.bytes) bound = {sum, step};
  }
  return bound;
}

MemoryPlan plan_memory(std::span<const Lifetime> tensors, size_t alignment, size_t search_effort) {
  check_arguments(tensors, alignment);
  const LiveBound bound = live_bytes_bound(tensors, alignment);
  MemoryPlan plan;
  plan.offsets.assign(tensors.size(), 0);
  plan.lower_bound_bytes = bound.bytes;
  plan.lower_bound_step = bound.step;
  size_t height = bound.bytes / alignment;
  for (const Problem& problem : make_problems(tensors, alignment)) {
    const Placement placement = solve(problem, height, search_effort);
    height = std::max(height, placement.height);
    for (size_t i = 0; i < problem.items.size(); ++i) {
      plan.offsets[problem.tensor[i]] = placement.offsets[i] * alignment;
    }
  }
  plan.arena_bytes = height * alignment;
  return plan;
}

}  // namespace tinytl

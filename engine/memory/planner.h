// Static placement of tensors in one arena. Knows bytes and lifetimes, nothing of graphs.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace tinytl {

// One tensor to place: `bytes` long, written by step `first`, last used by step `last` (inclusive).
struct Lifetime {
  size_t bytes = 0;
  int first = 0, last = 0;
};

struct MemoryPlan {
  std::vector<size_t> offsets;  // bytes from the start of the arena, one per lifetime
  size_t arena_bytes = 0;
  size_t lower_bound_bytes = 0;  // no placement of these lifetimes can be smaller
  int lower_bound_step = 0;      // the step at which that many bytes are alive

  double gap() const {  // 0 = provably minimal
    return lower_bound_bytes == 0 ? 0.0 : double(arena_bytes) / double(lower_bound_bytes) - 1.0;
  }
};

// Bytes alive at each step, each tensor rounded up to `alignment` (a power of two). As many steps
// as asked for; by default up to the last that is used. Cheap enough to be asked for thousands of
// orders: O(n + steps).
std::vector<size_t> live_bytes_by_step(std::span<const Lifetime> tensors, size_t alignment = 64,
                                       size_t steps = 0);

// The fullest step: of several the first. O(n + steps).
struct LiveBound {
  size_t bytes = 0;
  int step = 0;
};
LiveBound live_bytes_bound(std::span<const Lifetime> tensors, size_t alignment = 64);

// Tensors and steps that plan_memory may look at: half a second where it needs all of it.
inline constexpr size_t kSearchEffort = 100'000'000;

// Places every tensor in one arena.
//
// Tensors alive at the same step never share a byte, and every offset is a multiple of `alignment`.
// Greedy placement in several orders, stopping at the lower bound, which is where most training
// graphs end; O(n^2). Only if a gap is left, an exact search at the bound of what is alive in the
// fullest steps, with the rest around it; then of all tensors, at the bound and at heights between
// it and the best plan known, until the plan is proven minimal or `search_effort` is used up (0:
// greedy placement alone). The effort is counted, not timed: the same tensors have the same plan on
// every machine. The problem is NP-hard; `gap()` says how far from minimal a plan can be at most.
//
// Throws std::invalid_argument if `alignment` is not a power of two, some last < first or first <
// 0.
MemoryPlan plan_memory(std::span<const Lifetime> tensors, size_t alignment = 64,
                       size_t search_effort = kSearchEffort);

// Straight from the definition, sharing no code with the planner: empty if the plan is right, else
// one line that names two tensors which share bytes while both alive (or the one that leaves the
// arena or is misaligned). O(n log n).
std::string check_plan(std::span<const Lifetime> tensors, const MemoryPlan& plan,
                       size_t alignment = 64);

}  // namespace tinytl

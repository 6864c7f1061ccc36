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

// Bytes alive at the fullest step, each tensor rounded up to `alignment`.
struct LiveBound {
  size_t bytes = 0;
  int step = 0;
};
LiveBound live_bytes_bound(std::span<const Lifetime> tensors, size_t alignment);

// Places every tensor in one arena.
//
// Tensors alive at the same step never share a byte, and every offset is a multiple of `alignment`.
// Greedy: tensors in an order, each into the smallest gap that fits between those already placed
// and alive with it. Several orders are tried (by size, by size times duration, by duration, by the
// live bytes around them; Pisarchyk & Lee, arXiv:2001.03288), best kept, stopping at the lower
// bound. Not optimal: the problem is NP-hard; `gap()` says how far it can be. O(orders * n^2) worst
// case.
//
// Throws std::invalid_argument if `alignment` is not a power of two or some last < first.
MemoryPlan plan_memory(std::span<const Lifetime> tensors, size_t alignment = 64);

// Straight from the definition, sharing no code with the planner: empty if the plan is right, else
// one line that names the first two tensors which share bytes while both alive (or the one that
// leaves the arena or is misaligned). O(n^2).
std::string check_plan(std::span<const Lifetime> tensors, const MemoryPlan& plan,
                       size_t alignment = 64);

}  // namespace tinytl

#include "bench/placement_rules.h"

#include <algorithm>
#include <numeric>

namespace tinytl {
namespace {

size_t rounded(size_t bytes, size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

bool alive_together(const Lifetime& a, const Lifetime& b) {
  return a.first <= b.last && b.first <= a.last;
}

std::vector<size_t> by_birth(std::span<const Lifetime> tensors) {
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return tensors[a].first < tensors[b].first; });
  return order;
}

// Places in the order given, each in a gap between those placed before and alive with it: the
// first that fits, or the smallest.
MemoryPlan place_in_gaps(std::span<const Lifetime> tensors, const std::vector<size_t>& order,
                         bool smallest, size_t alignment) {
  MemoryPlan plan;
  plan.offsets.assign(tensors.size(), 0);
  std::vector<size_t> placed;  // by increasing offset
  for (const size_t t : order) {
    const size_t bytes = rounded(tensors[t].bytes, alignment);
    size_t top = 0, best = 0, best_gap = SIZE_MAX;
    for (const size_t p : placed) {
      if (!alive_together(tensors[t], tensors[p])) continue;
      const size_t gap = plan.offsets[p] > top ? plan.offsets[p] - top : 0;
      if (gap >= bytes && gap < best_gap) {
        best = top;
        best_gap = gap;
        if (!smallest) break;
      }
      top = std::max(top, plan.offsets[p] + rounded(tensors[p].bytes, alignment));
    }
    plan.offsets[t] = best_gap == SIZE_MAX ? top : best;
    plan.arena_bytes = std::max(plan.arena_bytes, plan.offsets[t] + bytes);
    const auto below = [&](size_t a, size_t b) { return plan.offsets[a] < plan.offsets[b]; };
    placed.insert(std::upper_bound(placed.begin(), placed.end(), t, below), t);
  }
  return plan;
}

// A stretch of bytes that some tensor has, or had and gave back.
struct Block {
  size_t offset, bytes;
  int last;  // step of use
};

}  // namespace

MemoryPlan place_without_sharing(std::span<const Lifetime> tensors, size_t alignment) {
  MemoryPlan plan;
  for (const Lifetime& t : tensors) {
    plan.offsets.push_back(plan.arena_bytes);
    plan.arena_bytes += rounded(t.bytes, alignment);
  }
  return plan;
}

MemoryPlan place_nntrainer(std::span<const Lifetime> tensors, size_t alignment) {
  std::vector<size_t> order = by_birth(tensors);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    const Lifetime &x = tensors[a], &y = tensors[b];
    return x.first != y.first ? x.first < y.first : x.last > y.last;
  });
  MemoryPlan plan;
  plan.offsets.assign(tensors.size(), 0);
  std::vector<Block> stack;  // by increasing offset, without gaps
  for (const size_t t : order) {
    const size_t bytes = rounded(tensors[t].bytes, alignment);
    const int step = tensors[t].first;
    while (!stack.empty() && stack.back().last < step) stack.pop_back();
    const auto free_block = std::find_if(stack.begin(), stack.end(), [&](const Block& block) {
      return block.last < step && block.bytes == bytes;
    });
    if (free_block != stack.end()) {
      free_block->last = tensors[t].last;
      plan.offsets[t] = free_block->offset;
      continue;
    }
    plan.offsets[t] = stack.empty() ? 0 : stack.back().offset + stack.back().bytes;
    stack.push_back({plan.offsets[t], bytes, tensors[t].last});
    plan.arena_bytes = std::max(plan.arena_bytes, plan.offsets[t] + bytes);
  }
  return plan;
}

MemoryPlan place_tinyengine(std::span<const Lifetime> tensors, size_t alignment) {
  return place_in_gaps(tensors, by_birth(tensors), false, alignment);
}

MemoryPlan place_tflite(std::span<const Lifetime> tensors, size_t alignment) {
  std::vector<size_t> order = by_birth(tensors);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return tensors[a].bytes > tensors[b].bytes; });
  return place_in_gaps(tensors, order, true, alignment);
}

}  // namespace tinytl

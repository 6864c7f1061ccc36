#include "engine/memory/planner.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>
#include <stdexcept>

namespace tinytl {
namespace {

size_t align_up(size_t n, size_t alignment) { return (n + alignment - 1) / alignment * alignment; }

bool overlap(const Lifetime& a, const Lifetime& b) {
  return a.first <= b.last && b.first <= a.last;
}

// Bytes alive at every step, as a step function over the steps [0, last step].
std::vector<size_t> live_bytes(std::span<const Lifetime> tensors, size_t alignment) {
  int steps = 0;
  for (const Lifetime& t : tensors) steps = std::max(steps, t.last + 1);
  std::vector<size_t> live(static_cast<size_t>(steps) + 1, 0);
  for (const Lifetime& t : tensors) {  // differences first, sums after; unsigned wrap is intended
    live[static_cast<size_t>(t.first)] += align_up(t.bytes, alignment);
    live[static_cast<size_t>(t.last) + 1] -= align_up(t.bytes, alignment);
  }
  std::partial_sum(live.begin(), live.end(), live.begin());
  live.pop_back();
  return live;
}

// Places tensors in the given order, each into the smallest gap between the tensors already placed
// and alive with it, else after the last of them.
std::vector<size_t> place(std::span<const Lifetime> tensors, std::span<const size_t> order,
                          size_t alignment, size_t& arena_bytes) {
  std::vector<size_t> offsets(tensors.size(), 0);
  std::vector<size_t> placed;  // in increasing offset
  placed.reserve(tensors.size());
  arena_bytes = 0;
  for (const size_t t : order) {
    const size_t bytes = tensors[t].bytes;
    size_t cursor = 0, best = 0, best_gap = SIZE_MAX;
    for (const size_t p : placed) {
      if (!overlap(tensors[t], tensors[p])) continue;
      if (offsets[p] >= cursor + bytes && offsets[p] - cursor < best_gap) {
        best = cursor;
        best_gap = offsets[p] - cursor;
      }
      cursor = std::max(cursor, align_up(offsets[p] + tensors[p].bytes, alignment));
    }
    offsets[t] = best_gap == SIZE_MAX ? cursor : best;
    arena_bytes = std::max(arena_bytes, offsets[t] + align_up(bytes, alignment));
    const auto by_offset = [&](size_t a, size_t b) { return offsets[a] < offsets[b]; };
    placed.insert(std::upper_bound(placed.begin(), placed.end(), t, by_offset), t);
  }
  return offsets;
}

// Larger keys are placed first.
using Key = std::function<double(size_t)>;

std::vector<size_t> order_by(size_t count, const Key& key) {
  std::vector<double> keys(count);
  for (size_t i = 0; i < count; ++i) keys[i] = key(i);
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return keys[a] > keys[b]; });
  return order;
}

}  // namespace

LiveBound live_bytes_bound(std::span<const Lifetime> tensors, size_t alignment) {
  const std::vector<size_t> live = live_bytes(tensors, alignment);
  if (live.empty()) return {};
  const auto peak = std::max_element(live.begin(), live.end());
  return {*peak, static_cast<int>(peak - live.begin())};
}

MemoryPlan plan_memory(std::span<const Lifetime> tensors, size_t alignment) {
  if (!std::has_single_bit(alignment)) {
    throw std::invalid_argument("plan_memory: the alignment must be a power of two");
  }
  for (const Lifetime& t : tensors) {
    if (t.first < 0 || t.last < t.first) {
      throw std::invalid_argument("plan_memory: a lifetime ends before it starts");
    }
  }
  const std::vector<size_t> live = live_bytes(tensors, alignment);
  const auto pressure = [&](size_t i) {  // the fullest step this tensor lives through
    const auto first = live.begin() + tensors[i].first, last = live.begin() + tensors[i].last + 1;
    return static_cast<double>(*std::max_element(first, last));
  };
  const auto size = [&](size_t i) { return static_cast<double>(tensors[i].bytes); };
  const auto steps = [&](size_t i) { return double(tensors[i].last - tensors[i].first + 1); };
  const double count = static_cast<double>(tensors.size()) + 1;
  const Key keys[] = {
      size,
      [&](size_t i) { return size(i) * steps(i); },
      [&](size_t i) { return steps(i) * 1e12 + size(i); },
      [&](size_t i) { return pressure(i) * 1e3 + size(i); },
      [&](size_t i) { return pressure(i) * 1e3 + steps(i); },
      [&](size_t i) { return count - double(tensors[i].first); },
      [&](size_t i) { return double(tensors[i].last); },
  };

  MemoryPlan best;
  const LiveBound bound = live_bytes_bound(tensors, alignment);
  best.arena_bytes = SIZE_MAX;
  for (const Key& key : keys) {
    size_t arena_bytes = 0;
    std::vector<size_t> offsets =
        place(tensors, order_by(tensors.size(), key), alignment, arena_bytes);
    if (arena_bytes < best.arena_bytes) {
      best.arena_bytes = arena_bytes;
      best.offsets = std::move(offsets);
    }
    if (best.arena_bytes == bound.bytes) break;
  }
  best.lower_bound_bytes = bound.bytes;
  best.lower_bound_step = bound.step;
  return best;
}

}  // namespace tinytl

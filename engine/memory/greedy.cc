#include "engine/memory/greedy.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace tinytl {
namespace {

// A placed item, in the array that the inner loop walks.
struct Block {
  size_t begin, end;
  int first, last;
};

// Puts items down, one by one, among those placed before.
class Stack {
 public:
  Stack(size_t items, size_t target) : target_(target), near_(items) { blocks_.reserve(items); }

  size_t put(const Item& item, bool from_top) {
    const size_t count = find_near(item);
    const size_t begin = from_top ? highest(item, count) : tightest(item, count);
    const auto above =
        std::upper_bound(blocks_.begin(), blocks_.end(), begin,
                         [](size_t b, const Block& block) { return b < block.begin; });
    blocks_.insert(above, {begin, begin + item.size, item.first, item.last});
    return begin;
  }

 private:
  // Lists the blocks that share a section with the item. Without branches: nine tenths of the time
  // of planning is spent here.
  size_t find_near(const Item& item) {
    size_t count = 0;
    for (uint32_t i = 0; i < blocks_.size(); ++i) {
      near_[count] = i;
      count += size_t{blocks_[i].first <= item.last} & size_t{blocks_[i].last >= item.first};
    }
    return count;
  }

  // The smallest gap between them, else above the last of them.
  size_t tightest(const Item& item, size_t count) const {
    size_t top = 0, best = 0, best_gap = SIZE_MAX;
    for (size_t n = 0; n < count; ++n) {
      const Block& block = blocks_[near_[n]];
      if (block.begin >= top + item.size && block.begin - top < best_gap) {
        best = top;
        best_gap = block.begin - top;
      }
      top = std::max(top, block.end);
    }
    return best_gap == SIZE_MAX ? top : best;
  }

  // The end of the highest gap below the target, else above the last of them.
  size_t highest(const Item& item, size_t count) const {
    size_t top = 0, best = SIZE_MAX;
    for (size_t n = 0; n < count; ++n) {
      const Block& block = blocks_[near_[n]];
      if (block.begin >= top + item.size && block.begin <= target_) best = block.begin - item.size;
      top = std::max(top, block.end);
    }
    if (top + item.size <= target_) return target_ - item.size;
    return best == SIZE_MAX ? top : best;
  }

  const size_t target_;
  std::vector<Block> blocks_;   // by increasing begin
  std::vector<uint32_t> near_;  // those that share a section with the item, kept for its memory
};

// An item looked at takes about a third of the time of a section that the search looks at.
size_t effort_of_order(size_t count) { return count * count / 6 + 1; }

// Larger keys are placed first.
using Key = std::function<std::pair<double, double>(size_t)>;

PlacementOrder order_by(size_t count, const Key& key) {
  std::vector<std::pair<double, double>> keys(count);
  PlacementOrder order(count);
  for (size_t i = 0; i < count; ++i) {
    keys[i] = key(i);
    order[i].item = static_cast<int>(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](const Turn& a, const Turn& b) {
    return keys[static_cast<size_t>(a.item)] > keys[static_cast<size_t>(b.item)];
  });
  return order;
}

uint64_t next_random(uint64_t& state) {  // xorshift64
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

// How far a placement is from the target: its height, then the area above the target.
std::pair<size_t, double> badness(const Problem& problem, const Placement& placement,
                                  size_t target) {
  double area = 0;
  for (size_t i = 0; i < problem.items.size(); ++i) {
    const Item& item = problem.items[i];
    const size_t end = placement.offsets[i] + item.size;
    if (end > target) {
      area += static_cast<double>(end - target) * (item.last - item.first + 1);
    }
  }
  return {placement.height, area};
}

}  // namespace

Placement place_in_order(const Problem& problem, std::span<const Turn> order, size_t target,
                         size_t limit, size_t& effort) {
  Stack stack(problem.items.size(), target);
  Placement placement{std::vector<size_t>(problem.items.size()), 0};
  effort -= std::min(effort, effort_of_order(order.size()));
  for (const Turn& turn : order) {
    const size_t i = static_cast<size_t>(turn.item);
    const Item& item = problem.items[i];
    const size_t offset = stack.put(item, turn.from_top);
    placement.offsets[i] = offset;
    placement.height = std::max(placement.height, offset + item.size);
    if (placement.height > limit) {
      placement.height = SIZE_MAX;
      break;
    }
  }
  return placement;
}

std::vector<size_t> live_units(const Problem& problem) {
  std::vector<size_t> live(static_cast<size_t>(problem.sections) + 1, 0);
  for (const Item& item : problem.items) {  // differences first; unsigned wrap is intended
    live[static_cast<size_t>(item.first)] += item.size;
    live[static_cast<size_t>(item.last) + 1] -= item.size;
  }
  std::partial_sum(live.begin(), live.end(), live.begin());
  live.pop_back();
  return live;
}

std::vector<size_t> pressures(const Problem& problem) {
  const size_t sections = static_cast<size_t>(problem.sections);
  std::vector<std::vector<size_t>> fullest{live_units(problem)};  // [k][s]: of 2^k sections from s
  for (size_t k = 1; (size_t{1} << k) <= sections; ++k) {
    const size_t half = size_t{1} << (k - 1);
    const std::vector<size_t>& below = fullest.back();
    std::vector<size_t> level(sections - 2 * half + 1);
    for (size_t s = 0; s < level.size(); ++s) level[s] = std::max(below[s], below[s + half]);
    fullest.push_back(std::move(level));
  }
  std::vector<size_t> result;
  result.reserve(problem.items.size());
  for (const Item& item : problem.items) {
    const size_t first = static_cast<size_t>(item.first), last = static_cast<size_t>(item.last);
    size_t k = 0;
    while ((size_t{2} << k) <= last - first + 1) ++k;
    result.push_back(std::max(fullest[k][first], fullest[k][last + 1 - (size_t{1} << k)]));
  }
  return result;
}

Placement place_greedily(const Problem& problem, size_t target, size_t& effort,
                         PlacementOrder& order) {
  const std::vector<size_t> pressure = pressures(problem), live = live_units(problem);
  const int fullest = static_cast<int>(std::max_element(live.begin(), live.end()) - live.begin());
  const auto size = [&](size_t i) { return double(problem.items[i].size); };
  const auto steps = [&](size_t i) {
    return double(problem.items[i].last - problem.items[i].first + 1);
  };
  // How far from the fullest section its nearer end is: > 0 only if it is alive there.
  const auto depth = [&](size_t i) {
    return double(std::min(fullest - problem.items[i].first, problem.items[i].last - fullest));
  };
  using Pair = std::pair<double, double>;
  const std::pair<Key, bool> rules[] = {
      {[&](size_t i) { return Pair(size(i), steps(i)); }, false},
      {[&](size_t i) { return Pair(pressure[i], steps(i)); }, true},
      {[&](size_t i) { return Pair(-double(problem.items[i].first), 0); }, false},
      {[&](size_t i) { return Pair(double(problem.items[i].last), 0); }, false},
      {[&](size_t i) { return Pair(steps(i), size(i)); }, false},
      {[&](size_t i) { return Pair(size(i) * steps(i), 0); }, false},
      {[&](size_t i) { return Pair(depth(i), steps(i)); }, true},
      {[&](size_t i) { return Pair(pressure[i], size(i)); }, false},
      {[&](size_t i) { return Pair(pressure[i], steps(i)); }, false},
  };
  const bool all = effort == 0;
  Placement best;
  for (const auto& [key, from_both_ends] : rules) {
    PlacementOrder next_order = order_by(problem.items.size(), key);
    for (Turn& turn : next_order) {
      const Item& item = problem.items[static_cast<size_t>(turn.item)];
      turn.from_top = from_both_ends && (item.first >= fullest || item.last < fullest);
    }
    Placement next = place_in_order(problem, next_order, target, best.height - 1, effort);
    if (next.height < best.height) {
      best = std::move(next);
      order = std::move(next_order);
    }
    if (best.height <= target || (effort == 0 && !all)) break;
  }
  return best;
}

void improve_order(const Problem& problem, size_t target, size_t& effort, PlacementOrder& order,
                   Placement& best) {
  auto best_badness = badness(problem, best, target);
  uint64_t random = 0x2545f4914f6cdd1d;
  std::vector<size_t> above;  // positions in the order
  while (best.height > target && effort > 0) {
    above.clear();
    for (size_t p = 1; p < order.size(); ++p) {
      const size_t i = static_cast<size_t>(order[p].item);
      if (best.offsets[i] + problem.items[i].size > target) above.push_back(p);
    }
    if (above.empty()) return;
    const size_t from = above[next_random(random) % above.size()];
    const size_t to = next_random(random) % from;
    PlacementOrder trial = order;
    const auto begin = trial.begin();
    std::rotate(begin + static_cast<ptrdiff_t>(to), begin + static_cast<ptrdiff_t>(from),
                begin + static_cast<ptrdiff_t>(from) + 1);
    Placement next = place_in_order(problem, trial, target, best.height, effort);
    if (next.height > best.height) continue;
    const auto next_badness = badness(problem, next, target);
    if (next_badness > best_badness) continue;
    best_badness = next_badness;
    best = std::move(next);
    order = std::move(trial);
  }
}

}  // namespace tinytl

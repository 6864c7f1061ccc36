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

// Puts items down, each into the smallest gap between those that share a section with it, else
// above the last of them.
class Stack {
 public:
  explicit Stack(size_t items) : near_(items) { blocks_.reserve(items); }

  void clear() { blocks_.clear(); }

  size_t put(const Item& item) {
    size_t count = 0;  // without branches: nine tenths of the time of planning is spent here
    for (uint32_t i = 0; i < blocks_.size(); ++i) {
      near_[count] = i;
      count += size_t{blocks_[i].first <= item.last} & size_t{blocks_[i].last >= item.first};
    }
    size_t top = 0, best = 0, best_gap = SIZE_MAX;
    for (size_t n = 0; n < count; ++n) {
      const Block& block = blocks_[near_[n]];
      if (block.begin >= top + item.size && block.begin - top < best_gap) {
        best = top;
        best_gap = block.begin - top;
      }
      top = std::max(top, block.end);
    }
    const size_t begin = best_gap == SIZE_MAX ? top : best;
    const auto above =
        std::upper_bound(blocks_.begin(), blocks_.end(), begin,
                         [](size_t b, const Block& block) { return b < block.begin; });
    blocks_.insert(above, {begin, begin + item.size, item.first, item.last});
    return begin;
  }

 private:
  std::vector<Block> blocks_;   // by increasing begin
  std::vector<uint32_t> near_;  // those that share a section with the item, kept for its memory
};

// The placement of that order, or height SIZE_MAX as soon as it is known to be above `limit`.
void place_in_order(const Problem& problem, std::span<const int> order, size_t limit, Stack& stack,
                    Placement& placement) {
  stack.clear();
  placement.offsets.resize(problem.items.size());
  placement.height = 0;
  for (const int i : order) {
    const Item& item = problem.items[static_cast<size_t>(i)];
    const size_t offset = stack.put(item);
    placement.offsets[static_cast<size_t>(i)] = offset;
    placement.height = std::max(placement.height, offset + item.size);
    if (placement.height > limit) {
      placement.height = SIZE_MAX;
      return;
    }
  }
}

// The units alive at the fullest section of each item. A sparse table: O(s log s + n).
std::vector<size_t> pressures(const Problem& problem) {
  const size_t sections = static_cast<size_t>(problem.sections);
  std::vector<size_t> live(sections + 1, 0);
  for (const Item& item : problem.items) {  // differences first; unsigned wrap is intended
    live[static_cast<size_t>(item.first)] += item.size;
    live[static_cast<size_t>(item.last) + 1] -= item.size;
  }
  std::partial_sum(live.begin(), live.end(), live.begin());
  std::vector<std::vector<size_t>> fullest{std::move(live)};  // [k][s]: of 2^k sections from s
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

// Larger keys are placed first.
using Key = std::function<std::pair<double, double>(size_t)>;

std::vector<int> order_by(size_t count, const Key& key) {
  std::vector<std::pair<double, double>> keys(count);
  for (size_t i = 0; i < count; ++i) keys[i] = key(i);
  std::vector<int> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return keys[static_cast<size_t>(a)] > keys[static_cast<size_t>(b)];
  });
  return order;
}

// An item looked at takes about a third of the time of a section that the search looks at.
size_t effort_of_order(size_t count) { return count * count / 6 + 1; }

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

Placement place_greedily(const Problem& problem, size_t target, size_t& effort,
                         std::vector<int>& order) {
  const std::vector<size_t> pressure = pressures(problem);
  const auto size = [&](size_t i) { return double(problem.items[i].size); };
  const auto steps = [&](size_t i) {
    return double(problem.items[i].last - problem.items[i].first + 1);
  };
  using Pair = std::pair<double, double>;
  const Key keys[] = {
      [&](size_t i) { return Pair(size(i), steps(i)); },
      [&](size_t i) { return Pair(size(i) * steps(i), 0); },
      [&](size_t i) { return Pair(steps(i), size(i)); },
      [&](size_t i) { return Pair(pressure[i], size(i)); },
      [&](size_t i) { return Pair(pressure[i], steps(i)); },
      [&](size_t i) { return Pair(-double(problem.items[i].first), 0); },
      [&](size_t i) { return Pair(double(problem.items[i].last), 0); },
  };
  const size_t count = problem.items.size();
  Stack stack(count);
  Placement best, next;
  for (const Key& key : keys) {
    std::vector<int> next_order = order_by(count, key);
    place_in_order(problem, next_order, best.height - 1, stack, next);
    effort -= std::min(effort, effort_of_order(count));
    if (next.height < best.height) {
      std::swap(best, next);
      order = std::move(next_order);
    }
    if (best.height <= target) break;
  }
  return best;
}

void improve_order(const Problem& problem, size_t target, size_t& effort, std::vector<int>& order,
                   Placement& best) {
  const size_t count = order.size(), cost = effort_of_order(count);
  Stack stack(count);
  Placement next;
  auto best_badness = badness(problem, best, target);
  uint64_t random = 0x2545f4914f6cdd1d;
  std::vector<size_t> above;  // positions in the order
  std::vector<int> trial;
  for (; best.height > target && effort > cost; effort -= cost) {
    above.clear();
    for (size_t p = 1; p < count; ++p) {
      const size_t i = static_cast<size_t>(order[p]);
      if (best.offsets[i] + problem.items[i].size > target) above.push_back(p);
    }
    if (above.empty()) return;
    const size_t from = above[next_random(random) % above.size()];
    const size_t to = next_random(random) % from;
    trial = order;
    const auto begin = trial.begin();
    std::rotate(begin + static_cast<ptrdiff_t>(to), begin + static_cast<ptrdiff_t>(from),
                begin + static_cast<ptrdiff_t>(from) + 1);
    place_in_order(problem, trial, best.height, stack, next);
    if (next.height > best.height) continue;
    const auto next_badness = badness(problem, next, target);
    if (next_badness > best_badness) continue;
    best_badness = next_badness;
    std::swap(best, next);
    std::swap(order, trial);
  }
}

}  // namespace tinytl

#include "engine/memory/planner.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <utility>

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

// The items that are alive in some sections, the core: in all of these, or in some.
struct Core {
  std::vector<int> throughout, partly, outside;  // longest-lived first, in order of birth, any
  std::vector<Lifetime> lifetimes;               // of `partly`, in units and core sections
};

Core make_core(const Problem& problem, std::span<const int> sections) {
  Core core;
  for (size_t i = 0; i < problem.items.size(); ++i) {
    const Item& item = problem.items[i];
    const auto from = std::lower_bound(sections.begin(), sections.end(), item.first);
    const auto to = std::upper_bound(from, sections.end(), item.last);
    if (from == to) {
      core.outside.push_back(static_cast<int>(i));
    } else if (from == sections.begin() && to == sections.end()) {
      core.throughout.push_back(static_cast<int>(i));
    } else {
      const auto place = [&](auto it) { return static_cast<int>(it - sections.begin()); };
      core.partly.push_back(static_cast<int>(i));
      core.lifetimes.push_back({item.size, place(from), place(to) - 1});
    }
  }
  std::stable_sort(core.throughout.begin(), core.throughout.end(), [&](int a, int b) {
    return problem.items[size_t(a)].steps > problem.items[size_t(b)].steps;
  });
  return core;
}

// Exact placement of a core at the target, then greedy placement of the others around it.
//
// Where almost nothing is to spare, few tensors of a training graph come and go: most live through
// all of it and can lie at the bottom, the longest-lived lowest. The search has only the others to
// place, and around them there is room.
class CoreSearch {
 public:
  CoreSearch(const Problem& problem, size_t target, PlacementOrder& order, Placement& best)
      : problem_(problem),
        target_(target),
        live_(live_units(problem)),
        pressure_(pressures(problem)),
        order_(order),
        best_(best) {}

  // Cores of more and more sections, each searched with at most `share`, until the target is met.
  // What is impossible for one is impossible for all items.
  Fit run(size_t share, size_t& effort) {
    for (const bool gapless : {true, false}) {
      size_t size = 0;
      for (const double fullness : kFullness) {
        const std::vector<int> sections = sections_of(fullness, gapless);
        if (sections.size() == size) continue;
        size = sections.size();
        const Core core = make_core(problem_, sections);
        for (const bool true_steps : {false, true}) {
          if (effort == 0) return Fit::kGaveUp;
          const Fit fit = place(core, true_steps, share, effort);
          if (fit == Fit::kImpossible) return fit;
          if (fit == Fit::kFound) complete(core, effort);
          if (best_.height <= target_) return Fit::kFound;
        }
      }
    }
    return Fit::kGaveUp;
  }

 private:
  static constexpr double kFullness[] = {0.999, 0.995, 0.99, 0.98, 0.97, 0.95, 0.93, 0.9,
                                         0.85,  0.8,   0.7,  0.6,  0.5,  0.3,  0};

  // At least so full; `gapless`: and all between them.
  std::vector<int> sections_of(double fullness, bool gapless) const {
    std::vector<int> sections;
    const double least = fullness * static_cast<double>(problem_.bound);
    for (int s = 0; s < problem_.sections; ++s) {
      if (static_cast<double>(live_[static_cast<size_t>(s)]) < least) continue;
      while (gapless && !sections.empty() && sections.back() + 1 < s) {
        sections.push_back(sections.back() + 1);
      }
      sections.push_back(s);
    }
    return sections;
  }

  // Sets placed_: the items of the core from below. `true_steps`: the search looks at how long they
  // live in all.
  Fit place(const Core& core, bool true_steps, size_t share, size_t& effort) {
    size_t ground = 0;
    for (const int i : core.throughout) ground += problem_.items[size_t(i)].size;
    std::vector<std::pair<size_t, int>> offsets;
    for (Problem& part : make_problems(core.lifetimes, 1)) {
      for (size_t i = 0; i < part.items.size() && true_steps; ++i) {
        part.items[i].steps = problem_.items[size_t(core.partly[part.tensor[i]])].steps;
      }
      Placement placement;
      const Fit fit = search_below(part, target_ - ground, share, effort, placement);
      if (fit != Fit::kFound) return fit;
      for (size_t i = 0; i < part.items.size(); ++i) {
        offsets.emplace_back(placement.offsets[i], core.partly[part.tensor[i]]);
      }
    }
    std::sort(offsets.begin(), offsets.end());
    placed_.clear();
    for (const int i : core.throughout) placed_.push_back({i});
    for (const auto& [offset, i] : offsets) placed_.push_back({i});
    return Fit::kFound;
  }

  // Keeps the best of some orders of the others.
  void complete(const Core& core, size_t& effort) {
    const auto size = [&](int i) { return double(problem_.items[size_t(i)].size); };
    const auto steps = [&](int i) { return double(problem_.items[size_t(i)].steps); };
    const auto pressure = [&](int i) { return double(pressure_[size_t(i)]); };
    using Key = std::function<std::pair<double, double>(int)>;
    const Key keys[] = {[&](int i) { return std::pair(size(i), steps(i)); },
                        [&](int i) { return std::pair(pressure(i), steps(i)); },
                        [&](int i) { return std::pair(pressure(i), size(i)); },
                        [&](int i) { return std::pair(size(i) * steps(i), 0.0); }};
    for (const Key& key : keys) {
      std::vector<int> others = core.outside;
      std::stable_sort(others.begin(), others.end(), [&](int a, int b) { return key(a) > key(b); });
      PlacementOrder order = placed_;
      for (const int i : others) order.push_back({i});
      Placement next = place_in_order(problem_, order, target_, best_.height - 1, effort);
      if (next.height >= best_.height) continue;
      best_ = std::move(next);
      order_ = std::move(order);
      if (best_.height <= target_) return;
    }
  }

  const Problem& problem_;
  const size_t target_;
  const std::vector<size_t> live_, pressure_;
  PlacementOrder& order_;
  Placement& best_;
  PlacementOrder placed_;
};

// Greedy placement is enough for most training graphs; of the others, an exact search of the
// fullest part finds most, and better orders for greedy placement some. What is left then is for a
// long exact search, at the target and then, by halves, at heights between it and the best known.
Placement solve(const Problem& problem, size_t target, size_t& effort) {
  PlacementOrder order;
  Placement best = place_greedily(problem, target, effort, order);
  if (best.height <= target || effort == 0) return best;
  Fit fit = search_below(problem, target, effort / 256, effort, best);
  if (fit == Fit::kFound) return best;
  CoreSearch cores(problem, target, order, best);
  for (const size_t share : {size_t{100'000}, size_t{1'000'000}}) {
    if (fit == Fit::kGaveUp) fit = cores.run(share, effort);
    if (fit == Fit::kFound) return best;
    if (fit == Fit::kImpossible) break;
    size_t left = effort / 16;
    effort -= left;
    improve_order(problem, target, left, order, best);
    effort += left;
    if (best.height <= target) return best;
  }
  if (fit == Fit::kGaveUp) fit = search_below(problem, target, effort / 2, effort, best);
  size_t low = fit == Fit::kFound ? target : target + 1;  // nothing is looked for below
  while (low < best.height && effort > 0) {
    const size_t middle = low + (best.height - low) / 2;
    fit = search_below(problem, middle, effort / 4 + 1, effort, best);
    if (fit != Fit::kFound) low = middle + 1;
  }
  return best;
}

}  // namespace

std::vector<size_t> live_bytes_by_step(std::span<const Lifetime> tensors, size_t alignment,
                                       size_t steps) {
  size_t end = steps;
  for (const Lifetime& t : tensors) end = std::max(end, static_cast<size_t>(t.last) + 1);
  std::vector<size_t> live(end + 1, 0);
  for (const Lifetime& t : tensors) {  // differences first, sums after; unsigned wrap is intended
    live[static_cast<size_t>(t.first)] += align_up(t.bytes, alignment);
    live[static_cast<size_t>(t.last) + 1] -= align_up(t.bytes, alignment);
  }
  std::partial_sum(live.begin(), live.end(), live.begin());
  live.resize(steps > 0 ? steps : end);
  return live;
}

LiveBound live_bytes_bound(std::span<const Lifetime> tensors, size_t alignment) {
  const std::vector<size_t> live = live_bytes_by_step(tensors, alignment);
  if (live.empty()) return {};
  const auto fullest = std::max_element(live.begin(), live.end());
  return {*fullest, static_cast<int>(fullest - live.begin())};
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

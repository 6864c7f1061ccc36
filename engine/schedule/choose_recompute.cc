#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "engine/schedule/live_model.h"
#include "engine/schedule/recompute.h"

namespace tinytl {
namespace {

constexpr int kPlans = 60;           // questions to arena_of
constexpr size_t kCandidates = 100;  // the largest values; the rest stays
constexpr size_t kNear = 8;          // values of one segment, where pairs are tried
constexpr int kPlansForLimit = 20;   // of them to find the model's limit

class Search {
 public:
  Search(const Graph& graph, size_t budget, const std::function<size_t(const Graph&)>& arena_of,
         const tt_kernels& kernels, const ScheduleOptions& options)
      : graph_(graph),
        budget_(budget),
        arena_of_(arena_of),
        model_(graph, kernels, options),
        candidates_(largest(graph, model_.saves().droppable())) {}

  RecomputeChoice run() {
    const Set nothing = model_.saves().set_of({});
    if (try_out(nothing) > budget_) {
      find_limit(model_.estimate(nothing, 0).peak_bytes);
      while (!best_.has_value() && shrink()) {
      }
      if (best_.has_value()) keep_what_fits();
    }
    const Set& dropped = best_.has_value() ? *best_ : smallest_;
    RecomputeChoice choice;
    choice.fits = best_.has_value();
    choice.arena_bytes = arenas_.at(dropped);
    for (const ValueId id : candidates_) {
      if (dropped[index(id)]) choice.dropped.push_back(id);
    }
    choice.extra_seconds = model_.estimate(dropped, 0).extra_seconds;
    return choice;
  }

 private:
  using Set = Saves::Set;

  static std::vector<ValueId> largest(const Graph& graph, std::vector<ValueId> ids) {
    const auto bytes = [&](ValueId id) { return graph.value(id).type.bytes(); };
    std::ranges::stable_sort(ids, std::greater<>(), bytes);
    ids.resize(std::min(ids.size(), kCandidates));
    std::ranges::sort(ids);
    return ids;
  }

  // The arena of the plan; remembers the cheapest that fits and the smallest.
  size_t try_out(const Set& dropped) {
    const auto known = arenas_.find(dropped);
    if (known != arenas_.end()) return known->second;
    std::vector<ValueId> ids;
    for (const ValueId id : candidates_) {
      if (dropped[index(id)]) ids.push_back(id);
    }
    const size_t arena = arena_of_(ids.empty() ? graph_ : recompute(graph_, ids));
    arenas_[dropped] = arena;
    const double seconds = model_.estimate(dropped, 0).extra_seconds;
    if (smallest_.empty() ||
        std::pair(arena, seconds) < std::pair(arenas_.at(smallest_), smallest_seconds_)) {
      smallest_ = dropped;
      smallest_seconds_ = seconds;
    }
    if (arena <= budget_ && (!best_.has_value() || seconds < best_seconds_)) {
      best_ = dropped;
      best_seconds_ = seconds;
    }
    return arena;
  }
  bool may_plan(int limit) const { return static_cast<int>(arenas_.size()) < limit; }

  // Model and planner differ by a little: bisects for the largest limit in the model whose plan
  // fits the budget, or, if none does, the smallest that the model can keep.
  void find_limit(size_t peak) {
    size_t low = 0, high = peak;
    size_t limit = scaled(peak, budget_, arenas_.begin()->second);
    while (may_plan(kPlansForLimit) && high - low > peak / 256) {
      const Set dropped = cheapest_within(limit);
      const bool fits = try_out(dropped) <= budget_;
      const bool is_out_of_reach = model_.estimate(dropped, limit).excess > 0;
      (fits || is_out_of_reach ? low : high) = limit;
      limit = low + (high - low) / 2;
    }
  }
  static size_t scaled(size_t bytes, size_t numerator, size_t denominator) {
    return static_cast<size_t>(static_cast<double>(bytes) * static_cast<double>(numerator) /
                               static_cast<double>(denominator));
  }

  // A set that stays within `limit` in the model, or comes near it: the best of several descents,
  // each of which may end in a hole of its own.
  Set cheapest_within(size_t limit) {
    Set best = model_.saves().set_of({});
    drop_in_order(best, limit, /*by_time=*/true);
    refine(best, limit);
    Set other = model_.saves().set_of({});
    drop_in_order(other, limit, /*by_time=*/false);
    consider(best, std::move(other), limit);
    for (const size_t eighths : {8, 7, 6, 5, 4}) {
      if (model_.estimate(best, limit).excess == 0) break;
      consider(best, segments(limit / 8 * eighths), limit);
    }
    return best;
  }

  void consider(Set& best, Set other, size_t limit) {
    refine(other, limit);
    const LiveModel::Estimate a = model_.estimate(best, limit), b = model_.estimate(other, limit);
    if (std::pair(b.excess, b.extra_seconds) < std::pair(a.excess, a.extra_seconds)) {
      best = std::move(other);
    }
  }

  void refine(Set& dropped, size_t limit) {
    constexpr int kRounds = 3;
    for (int pairs = 0; model_.estimate(dropped, limit).excess > 0;) {
      if (improve(dropped, limit)) continue;
      if (++pairs > kRounds || !improve_by_two(dropped, limit)) return;
    }
    for (int round = 0; round < kRounds; ++round) {
      keep_in_model(dropped, limit);
      if (!exchange(dropped, limit)) return;
    }
  }

  // Keeps one value between segments that are computed again as a whole, each as long as the values
  // kept before it leave room for (Chen et al., arXiv:1604.06174).
  Set segments(size_t limit) const {
    Set dropped = model_.saves().set_of({});
    size_t kept = 0, segment = 0;
    for (const ValueId id : candidates_) {
      const size_t bytes = graph_.value(id).type.bytes();
      dropped[index(id)] = kept + segment + bytes <= limit;
      if (dropped[index(id)]) {
        segment += bytes;
      } else {
        kept += bytes;
        segment = 0;
      }
    }
    return dropped;
  }

  // How much excess dropping (or keeping) the value takes away, for each second where `by_time`.
  double rate_of(ValueId id, Set& dropped, const LiveModel::Estimate& now, size_t limit,
                 bool by_time) {
    flip(dropped, id);
    const LiveModel::Estimate e = model_.estimate(dropped, limit);
    flip(dropped, id);
    constexpr double kLeastSeconds = 1e-9;  // what takes no time comes first
    const double seconds = std::max(e.extra_seconds - now.extra_seconds, kLeastSeconds);
    return (now.excess - e.excess) / (by_time ? seconds : 1.0);
  }

  // Drops one value after the other, that of the highest rate first. A rate mostly falls when
  // others are dropped, so only that of the first in the queue is looked at again.
  void drop_in_order(Set& dropped, size_t limit, bool by_time) {
    LiveModel::Estimate now = model_.estimate(dropped, limit);
    std::set<std::tuple<double, ValueId>> queue;  // by falling rate
    for (const ValueId id : candidates_) {
      queue.emplace(-rate_of(id, dropped, now, limit, by_time), id);
    }
    while (now.excess > 0 && !queue.empty()) {
      const ValueId id = std::get<ValueId>(*queue.begin());
      queue.erase(queue.begin());
      const double rate = rate_of(id, dropped, now, limit, by_time);
      if (rate <= 0) continue;
      if (!queue.empty() && -rate > std::get<double>(*queue.begin())) {
        queue.emplace(-rate, id);
        continue;
      }
      flip(dropped, id);
      now = model_.estimate(dropped, limit);
    }
  }

  // Drops the value, or keeps the dropped one, that takes the most excess away.
  bool improve(Set& dropped, size_t limit) {
    const LiveModel::Estimate now = model_.estimate(dropped, limit);
    std::optional<ValueId> best;
    double best_rate = 0;
    for (const ValueId id : candidates_) {
      const double rate = rate_of(id, dropped, now, limit, /*by_time=*/false);
      if (rate <= best_rate) continue;
      best = id;
      best_rate = rate;
    }
    if (best.has_value()) flip(dropped, *best);
    return best.has_value();
  }

  // The same for the first two values near each other that together take a hundredth of it away.
  bool improve_by_two(Set& dropped, size_t limit) {
    const double excess = model_.estimate(dropped, limit).excess;
    for (size_t i = 0; i < candidates_.size(); ++i) {
      flip(dropped, candidates_[i]);
      for (size_t j = i - std::min(i, kNear); j < i; ++j) {
        flip(dropped, candidates_[j]);
        if (model_.estimate(dropped, limit).excess < 0.99 * excess) return true;
        flip(dropped, candidates_[j]);
      }
      flip(dropped, candidates_[i]);
    }
    return false;
  }
  static void flip(Set& set, ValueId id) { set[index(id)] = !set[index(id)]; }

  // The dropped values, those first whose keeping saves the most time.
  std::vector<ValueId> dearest_first(Set dropped) {
    const double all = model_.estimate(dropped, 0).extra_seconds;
    std::vector<std::pair<double, ValueId>> list;
    for (const ValueId id : candidates_) {
      if (!dropped[index(id)]) continue;
      flip(dropped, id);
      list.emplace_back(all - model_.estimate(dropped, 0).extra_seconds, id);
      flip(dropped, id);
    }
    std::ranges::stable_sort(list, [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<ValueId> ids;
    for (const auto& [seconds, id] : list) ids.push_back(id);
    return ids;
  }

  // Keeps every value again that the limit allows.
  void keep_in_model(Set& dropped, size_t limit) {
    for (const ValueId id : dearest_first(dropped)) {
      flip(dropped, id);
      if (model_.estimate(dropped, limit).excess > 0) flip(dropped, id);
    }
  }

  // Drops one value instead of another wherever that is cheaper and stays within the limit; true if
  // anywhere.
  bool exchange(Set& dropped, size_t limit) {
    const double before = model_.estimate(dropped, limit).extra_seconds;
    double seconds = before;
    for (const ValueId out : dearest_first(dropped)) {
      for (const ValueId in : candidates_) {
        if (dropped[index(in)]) continue;
        flip(dropped, out);
        flip(dropped, in);
        const LiveModel::Estimate e = model_.estimate(dropped, limit);
        if (e.excess == 0 && e.extra_seconds < seconds) {
          seconds = e.extra_seconds;
          break;
        }
        flip(dropped, out);
        flip(dropped, in);
      }
    }
    return seconds < before;
  }

  // Asks the planner for the neighbours of the smallest set, those that are small in the model
  // first; true if one is smaller.
  bool shrink() {
    std::vector<std::pair<size_t, Set>> neighbours;
    Set set = smallest_;
    const auto add = [&] { neighbours.emplace_back(model_.estimate(set, 0).peak_bytes, set); };
    for (size_t i = 0; i < candidates_.size(); ++i) {
      const ValueId a = candidates_[i];
      flip(set, a);
      add();
      for (size_t j = i - std::min(i, kNear); j < i; ++j) {
        const ValueId b = candidates_[j];
        if (set[index(a)] != set[index(b)]) continue;  // exchanges only
        flip(set, b);
        add();
        flip(set, b);
      }
      flip(set, a);
    }
    std::ranges::stable_sort(neighbours, {}, &std::pair<size_t, Set>::first);
    const size_t smallest = arenas_.at(smallest_);
    for (const auto& [peak, neighbour] : neighbours) {
      if (peak > smallest || !may_plan(kPlans)) return false;
      if (try_out(neighbour) < smallest) return true;
    }
    return false;
  }

  // keep_in_model against the planner itself.
  void keep_what_fits() {
    Set dropped = *best_;
    for (const ValueId id : dearest_first(dropped)) {
      if (!may_plan(kPlans)) return;
      flip(dropped, id);
      if (try_out(dropped) > budget_) flip(dropped, id);
    }
  }

  const Graph& graph_;
  const size_t budget_;
  const std::function<size_t(const Graph&)>& arena_of_;
  LiveModel model_;
  const std::vector<ValueId> candidates_;
  std::map<Set, size_t> arenas_;  // of all sets that were planned
  std::optional<Set> best_;
  double best_seconds_ = 0;
  Set smallest_;
  double smallest_seconds_ = 0;
};

}  // namespace

RecomputeChoice choose_recompute(const Graph& graph, size_t arena_budget,
                                 const std::function<size_t(const Graph&)>& arena_of,
                                 const tt_kernels& kernels, const ScheduleOptions& options) {
  return Search(graph, arena_budget, arena_of, kernels, options).run();
}

}  // namespace tinytl

#include "engine/schedule/order.h"

#include <algorithm>
#include <optional>

#include "engine/schedule/order_window.h"

namespace tinytl {
namespace {

using Order = std::vector<uint32_t>;

// Effort: orders replayed, and sets of nodes looked at in windows (and one more for every node).
constexpr size_t kReplays = 200, kWindowStates = 3000;

// Nodes that are put in order first, because that is quick; then kLargestWindow.
constexpr size_t kNear = 16;

class Search {
 public:
  Search(const OrderModel& model, const Precedence& precedence, Order order, size_t border)
      : model_(model),
        precedence_(precedence),
        order_(std::move(order)),
        border_(border),
        place_(order_.size()),
        window_states_(kWindowStates + order_.size()) {
    adopt(order_, profile_of(model_, order_));
  }

  Order run() {
    Order best = order_;
    size_t best_bytes = peak_.bytes;
    const auto spent = [&] { return replays_ == 0 || window_states_ == 0; };
    while (!spent() && floor_at(model_, precedence_, order_[peak_.first]) < peak_.bytes) {
      if (!improve()) break;
      if (peak_.bytes < best_bytes) {
        best = order_;
        best_bytes = peak_.bytes;
      }
    }
    return best;
  }

 private:
  bool improve() {
    return reorder_window(kNear) || move_idle_values() || reorder_window(kLargestWindow);
  }

  // The places [first, second) that nodes at the peak may move in.
  size_t first_place() const { return peak_.first < border_ ? 0 : border_; }
  size_t end_place() const { return peak_.first < border_ ? border_ : order_.size(); }

  void adopt(Order order, std::vector<size_t> profile) {
    order_ = std::move(order);
    profile_ = std::move(profile);
    peak_ = peak_of(profile_);
    for (size_t i = 0; i < order_.size(); ++i) place_[order_[i]] = i;
  }

  // Adopts an order if it is better.
  bool try_order(Order order) {
    if (replays_ == 0) return false;
    --replays_;
    Replay replay(model_);
    std::vector<size_t> profile;
    profile.reserve(order.size());
    size_t full_steps = 0;
    for (const uint32_t node : order) {
      profile.push_back(replay.run(node));
      full_steps += profile.back() == peak_.bytes;
      if (profile.back() > peak_.bytes || full_steps >= peak_.steps) return false;
    }
    adopt(std::move(order), std::move(profile));
    return true;
  }

  // The best order of `size` nodes around the peak.
  bool reorder_window(size_t size) {
    const size_t first = first_place(), end = end_place();
    size_t from = peak_.first - std::min(peak_.first, size / 2);
    from = std::max(from, first);
    const size_t to = std::min(end, from + size);
    from = to - std::min(size, to - first);

    WindowLimits limits{.enough = 0, .below = peak_.bytes, .states = window_states_};
    for (size_t i = 0; i < order_.size(); ++i) {
      if ((i < from || i >= to) && profile_[i] < peak_.bytes) {
        limits.enough = std::max(limits.enough, profile_[i]);
      }
    }
    Replay start(model_);
    for (size_t i = 0; i < from; ++i) start.run(order_[i]);
    const auto window = std::span(order_).subspan(from, to - from);
    const auto better = best_order_of_window(model_, precedence_, start, window, limits);
    window_states_ = limits.states;
    if (!better.has_value()) return false;
    std::copy(better->begin(), better->end(), window.begin());
    for (size_t i = from; i < to; ++i) {  // no other step changes
      place_[order_[i]] = i;
      profile_[i] = start.run(order_[i]);
    }
    peak_ = peak_of(profile_);
    return true;
  }

  // Groups alive at the peak that its node does not use, the largest first.
  std::vector<uint32_t> idle_groups() const {
    Replay replay(model_);
    for (size_t i = 0; i < peak_.first; ++i) replay.run(order_[i]);
    const auto& used = model_.steps()[order_[peak_.first]].reads;
    std::vector<uint32_t> groups;
    for (uint32_t g = 0; g < model_.groups().size(); ++g) {
      const bool is_used = std::find(used.begin(), used.end(), g) != used.end();
      if (replay.alive(g) && !is_used) groups.push_back(g);
    }
    std::stable_sort(groups.begin(), groups.end(), [&](uint32_t a, uint32_t b) {
      return model_.groups()[a].bytes > model_.groups()[b].bytes;
    });
    return groups;
  }

  bool move_idle_values() {
    for (const uint32_t g : idle_groups()) {
      if (replays_ == 0) return false;
      if (write_later(g) || read_earlier(g)) return true;
    }
    return false;
  }

  // Moves the marked nodes of the places [from, to) behind the others, or before them.
  Order with_marked_moved(const std::vector<char>& marked, size_t from, size_t to,
                          bool to_the_end) const {
    Order order = order_;
    std::stable_partition(order.begin() + ptrdiff_t(from), order.begin() + ptrdiff_t(to),
                          [&](uint32_t node) { return (marked[node] != 0) != to_the_end; });
    return order;
  }

  // Writes a group behind the peak: its writer, and those that depend on it, move down.
  bool write_later(uint32_t group) {
    const auto& writers = model_.groups()[group].writers;
    if (writers.size() != 1 || place_[writers[0]] < first_place()) return false;
    std::vector<char> marked(order_.size(), 0);
    size_t from = place_[writers[0]];
    marked[writers[0]] = 1;
    for (size_t i = from + 1; i <= peak_.first; ++i) {
      for (const uint32_t node : precedence_.before[order_[i]]) marked[order_[i]] |= marked[node];
    }
    if (marked[order_[peak_.first]] != 0) return false;
    if (try_after_peak(marked, from)) return true;
    return take_producers_along(marked, from) && try_after_peak(marked, from);
  }

  // Marks the nodes whose results only marked ones read, where moving them too keeps less alive.
  bool take_producers_along(std::vector<char>& marked, size_t& from) const {
    bool any = false;
    const auto is_marked = [&](uint32_t node) { return marked[node] != 0; };
    for (size_t i = peak_.first; i-- > first_place();) {
      const uint32_t node = order_[i];
      const auto& after = precedence_.after[node];
      if (marked[node] != 0 || after.empty() || !std::all_of(after.begin(), after.end(), is_marked))
        continue;
      size_t written = 0, kept = 0;
      for (const uint32_t g : model_.steps()[node].writes) written += model_.groups()[g].bytes;
      for (const uint32_t g : model_.steps()[node].reads) {
        if (dies_before_peak(g)) kept += model_.groups()[g].bytes;
      }
      if (written < kept) continue;
      marked[node] = 1;
      from = std::min(from, i);
      any = true;
    }
    return any;
  }

  bool dies_before_peak(uint32_t group) const {
    const OrderModel::Group& g = model_.groups()[group];
    if (g.kept) return false;
    return std::all_of(g.readers.begin(), g.readers.end(),
                       [&](uint32_t reader) { return place_[reader] <= peak_.first; });
  }

  bool try_after_peak(const std::vector<char>& marked, size_t from) {
    size_t end = end_place();
    for (size_t i = from; i < end; ++i) {
      if (marked[order_[i]] == 0) continue;
      for (const uint32_t node : precedence_.after[order_[i]]) {
        if (place_[node] > peak_.first) end = std::min(end, place_[node]);
      }
    }
    const size_t soonest = peak_.first + 1;
    if (try_order(with_marked_moved(marked, from, end, true))) return true;  // as late as they can
    const auto at = [&](size_t i) { return profile_.begin() + ptrdiff_t(i); };
    if (soonest >= end) return false;
    const size_t valley = size_t(std::min_element(at(soonest), at(end)) - profile_.begin());
    return try_order(with_marked_moved(marked, from, valley, true)) ||
           (valley != soonest && try_order(with_marked_moved(marked, from, soonest, true)));
  }

  // Reads a group for the last time before the peak: its readers, and what they depend on, move up.
  bool read_earlier(uint32_t group) {
    if (model_.groups()[group].kept) return false;
    std::vector<char> marked(order_.size(), 0);
    size_t to = 0;
    for (const uint32_t reader : model_.groups()[group].readers) {
      if (place_[reader] <= peak_.first) continue;
      if (place_[reader] >= end_place()) return false;
      marked[reader] = 1;
      to = std::max(to, place_[reader] + 1);
    }
    for (size_t i = to; i-- > peak_.first;) {
      for (const uint32_t node : precedence_.after[order_[i]]) marked[order_[i]] |= marked[node];
    }
    return marked[order_[peak_.first]] == 0 && try_before_peak(marked, to);
  }

  bool try_before_peak(const std::vector<char>& marked, size_t to) {
    size_t from = first_place();
    for (size_t i = peak_.first + 1; i < to; ++i) {
      if (marked[order_[i]] == 0) continue;
      for (const uint32_t node : precedence_.before[order_[i]]) {
        if (place_[node] < peak_.first) from = std::max(from, place_[node] + 1);
      }
    }
    if (try_order(with_marked_moved(marked, peak_.first, to, false))) return true;
    if (from >= peak_.first) return false;
    const auto at = [&](size_t i) { return profile_.begin() + ptrdiff_t(i); };
    const size_t valley = size_t(std::min_element(at(from), at(peak_.first)) - profile_.begin());
    return try_order(with_marked_moved(marked, valley, to, false)) ||
           (valley != from && try_order(with_marked_moved(marked, from, to, false)));
  }

  const OrderModel& model_;
  const Precedence& precedence_;
  Order order_;
  const size_t border_;
  std::vector<size_t> place_;    // by node
  std::vector<size_t> profile_;  // by place
  Peak peak_;
  size_t replays_ = kReplays, window_states_;
};

// The nodes that must run before `node`, or after it (not itself).
std::vector<char> reachable(const std::vector<std::vector<uint32_t>>& edges, uint32_t node) {
  std::vector<char> seen(edges.size(), 0);
  Order stack{node};
  while (!stack.empty()) {
    const uint32_t top = stack.back();
    stack.pop_back();
    for (const uint32_t next : edges[top]) {
      if (seen[next] != 0) continue;
      seen[next] = 1;
      stack.push_back(next);
    }
  }
  return seen;
}

}  // namespace

std::vector<uint32_t> lower_peak(const OrderModel& model, const Precedence& precedence,
                                 std::vector<uint32_t> order, size_t border) {
  if (order.empty()) return order;
  return Search(model, precedence, std::move(order), border).run();
}

size_t floor_at(const OrderModel& model, const Precedence& precedence, uint32_t node) {
  const auto before = reachable(precedence.before, node), after = reachable(precedence.after, node);
  const auto any = [](const Order& nodes, const std::vector<char>& marks) {
    return std::any_of(nodes.begin(), nodes.end(), [&](uint32_t n) { return marks[n] != 0; });
  };
  size_t bytes = 0;
  std::vector<char> leaves(model.groups().size(), 1);  // not needed behind `node`
  for (uint32_t g = 0; g < model.groups().size(); ++g) {
    const OrderModel::Group& group = model.groups()[g];
    if (!group.input && !any(group.writers, before)) continue;
    leaves[g] = !group.kept && !any(group.readers, after);
    const bool read =
        std::find(group.readers.begin(), group.readers.end(), node) != group.readers.end();
    if (read || leaves[g] == 0) bytes += group.bytes;
  }
  const OrderModel::Step& step = model.steps()[node];
  size_t written = 0;
  for (const uint32_t g : step.writes) {
    if (!any(model.groups()[g].writers, before)) written += model.groups()[g].bytes;
  }
  size_t extra = written + step.scratch;
  for (const OrderModel::Sharing& sharing : step.sharings) {
    if (leaves[sharing.group] != 0)
      extra = std::min(extra, written - step.output + sharing.scratch);
  }
  return bytes + extra;
}

size_t order_free_floor(const Graph& graph, const tt_kernels& kernels, int threads) {
  const OrderModel model(graph, kernels, threads);
  const Precedence precedence(graph);
  size_t bytes = 0;
  for (uint32_t node = 0; node < graph.nodes().size(); ++node) {
    bytes = std::max(bytes, floor_at(model, precedence, node));
  }
  return bytes;
}

}  // namespace tinytl

#include "engine/schedule/order_window.h"

#include <algorithm>
#include <bitset>
#include <unordered_map>
#include <unordered_set>

namespace tinytl {
namespace {

using Mask = std::bitset<kLargestWindow>;  // of places in the window

// One question, whether there is an order within a limit, may take so many states.
constexpr size_t kStatesOfAQuestion = 1000;

// Nodes looked ahead for one that frees what the first of them writes.
constexpr size_t kChain = 4;

Mask bit(size_t i) { return Mask().set(i); }

class WindowSearch {
 public:
  WindowSearch(const OrderModel& model, const Precedence& precedence, const Replay& start,
               std::span<const uint32_t> window)
      : model_(model),
        start_(start),
        window_(window),
        before_(window.size()),
        readers_(model.groups().size()),
        writers_(model.groups().size()) {
    std::unordered_map<uint32_t, size_t> place;
    for (size_t i = 0; i < window.size(); ++i) place[window[i]] = i;
    for (size_t i = 0; i < window.size(); ++i) {
      for (const uint32_t node : precedence.before[window[i]]) {
        if (const auto at = place.find(node); at != place.end()) before_[i].set(at->second);
      }
      for (const uint32_t g : model.steps()[window[i]].reads) readers_[g].set(i);
      for (const uint32_t g : model.steps()[window[i]].writes) writers_[g].set(i);
    }
  }

  std::optional<std::vector<uint32_t>> run(WindowLimits& limits) {
    std::optional<std::vector<uint32_t>> best;
    size_t low = std::max(limits.enough, floor()), high = limits.below;
    for (size_t middle = low; low < high && limits.states > 0; middle = low + (high - low) / 2) {
      size_t states = std::min(limits.states, kStatesOfAQuestion);
      limits.states -= states;
      if (const auto last = search_within(middle, states)) {
        best = path_to(*last, high);
      } else {
        low = refused_;
      }
      limits.states += states;
    }
    return best;
  }

 private:
  struct State {
    Mask done;
    size_t live = 0;
    size_t during = 0;            // while the last node ran
    uint32_t from = 0, last = 0;  // the state before, and the place in the window that ran since
  };

  // Read behind the window, or an output of the graph.
  bool survives(uint32_t g) const { return start_.waiting(g) > readers_[g].count(); }

  StepBytes bytes_of(size_t i, Mask done) const {
    return model_.bytes_of(
        window_[i], [&](uint32_t g) { return !start_.started(g) && (writers_[g] & done).none(); },
        [&](uint32_t g) {
          return !survives(g) && (readers_[g] & ~done).count() <= readers_[g][i];
        });
  }

  // Some node of the window needs so much in every order of it.
  size_t floor() const {
    const size_t size = window_.size();
    std::vector<Mask> above(size), below(size);
    for (size_t i = 0; i < size; ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (before_[i][j]) above[i] |= above[j] | bit(j);
      }
      for (size_t j = 0; j < i; ++j) {
        if (above[i][j]) below[j].set(i);
      }
    }
    size_t idle = start_.live(), most = 0;  // idle: alive throughout
    std::vector<uint32_t> groups;
    for (uint32_t g = 0; g < readers_.size(); ++g) {
      if ((readers_[g] | writers_[g]).none()) continue;
      groups.push_back(g);
      if (start_.alive(g)) idle -= model_.groups()[g].bytes;
    }
    for (size_t i = 0; i < size; ++i) {
      size_t bytes = idle;
      for (const uint32_t g : groups) {
        const bool written = start_.started(g) || (writers_[g] & above[i]).any();
        const bool read = survives(g) || (readers_[g] & (below[i] | bit(i))).any();
        if (written && read) bytes += model_.groups()[g].bytes;
      }
      // Whatever can run before it has: what it frees may be its own to take.
      bytes += bytes_of(i, ~below[i] & ~bit(i)).extra;
      most = std::max(most, bytes);
    }
    return most;
  }

  // The last state of an order in which no step has more than `limit` bytes.
  std::optional<uint32_t> search_within(size_t limit, size_t& states) {
    refused_ = SIZE_MAX;
    states_.assign(1, {.done = {}, .live = start_.live()});
    std::vector<uint32_t> open{0};
    std::unordered_set<Mask> seen;
    while (!open.empty() && states > 0) {
      const uint32_t state = open.back();
      open.pop_back();
      if (states_[state].done.count() == window_.size()) return state;
      if (!seen.insert(states_[state].done).second) continue;
      --states;
      expand(state, limit, open);
    }
    return std::nullopt;
  }

  bool is_ready(size_t i, Mask done) const { return !done[i] && (before_[i] & ~done).none(); }

  // Runs node `i`, unless that takes more than `limit`.
  std::optional<State> after(uint32_t from, size_t i, size_t limit) {
    const State& state = states_[from];
    const StepBytes bytes = bytes_of(i, state.done);
    const size_t during = state.live + bytes.extra;
    if (during > limit) {
      refused_ = std::min(refused_, during);
      return std::nullopt;
    }
    return State{state.done | bit(i), state.live + bytes.written - bytes.freed, during, from,
                 static_cast<uint32_t>(i)};
  }

  // Appends what may run next, the first in the old order last; or only a node (and those behind
  // it) after which no more is alive than before: no order within the limit is lost by running it
  // at once.
  void expand(uint32_t from, size_t limit, std::vector<uint32_t>& open) {
    const size_t others = open.size();
    for (size_t i = window_.size(); i-- > 0;) {
      if (!is_ready(i, states_[from].done)) continue;
      const std::optional<State> next = after(from, i, limit);
      if (!next.has_value()) continue;
      open.push_back(static_cast<uint32_t>(states_.size()));
      states_.push_back(*next);
      if (const auto end = free_chain(from, limit)) {
        open.resize(others);
        open.push_back(*end);
        return;
      }
    }
  }

  // Follows the last state to one with no more alive than in `from`, by nodes that each wait for
  // the one before.
  std::optional<uint32_t> free_chain(uint32_t from, size_t limit) {
    const size_t first = states_.size() - 1;
    for (size_t length = 0; length < kChain; ++length) {
      const uint32_t end = static_cast<uint32_t>(states_.size() - 1);
      if (states_[end].live <= states_[from].live) return end;
      std::optional<State> best;
      for (size_t i = 0; i < window_.size(); ++i) {
        if (!before_[i][states_[end].last] || !is_ready(i, states_[end].done)) continue;
        const std::optional<State> next = after(end, i, limit);
        if (next.has_value() && (!best.has_value() || next->live < best->live)) best = next;
      }
      if (!best.has_value()) break;
      states_.push_back(*best);
    }
    states_.resize(first + 1);
    return std::nullopt;
  }

  std::vector<uint32_t> path_to(uint32_t state, size_t& peak) const {
    std::vector<uint32_t> order;
    peak = 0;
    for (; states_[state].done.any(); state = states_[state].from) {
      order.push_back(window_[states_[state].last]);
      peak = std::max(peak, states_[state].during);
    }
    std::reverse(order.begin(), order.end());
    return order;
  }

  const OrderModel& model_;
  const Replay& start_;
  std::span<const uint32_t> window_;
  std::vector<Mask> before_;             // by place
  std::vector<Mask> readers_, writers_;  // by group
  std::vector<State> states_;
  size_t refused_ = 0;  // the least that was over the limit: what would change the answer
};

}  // namespace

std::optional<std::vector<uint32_t>> best_order_of_window(const OrderModel& model,
                                                          const Precedence& precedence,
                                                          const Replay& start,
                                                          std::span<const uint32_t> window,
                                                          WindowLimits& limits) {
  return WindowSearch(model, precedence, start, window).run(limits);
}

}  // namespace tinytl

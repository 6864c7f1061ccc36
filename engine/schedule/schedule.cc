#include "engine/schedule/schedule.h"

#include <algorithm>
#include <functional>

#include "engine/ops/passes.h"
#include "engine/schedule/order.h"

namespace tinytl {
namespace {

using Order = std::vector<uint32_t>;

struct OrderWithBorder {
  Order order;
  size_t first_update = 0;
};

// Goes through a graph in its order, except that some nodes run as soon as they can and others when
// they are needed.
class ListScheduler {
 public:
  ListScheduler(const Graph& graph, const Precedence& precedence, const ScheduleOptions& options)
      : graph_(graph), precedence_(precedence), options_(options) {}

  // Runs updates and nodes that condense as soon as they can; with `lazy`, also recomputation and
  // nodes that read persistent values only when somebody needs them.
  OrderWithBorder run(bool eager, bool lazy) {
    const size_t count = graph_.nodes().size();
    eager_.assign(count, false);
    lazy_.assign(count, false);
    for (size_t n = 0; n < count; ++n) {
      eager_[n] = eager && is_eager(graph_.nodes()[n]);
      lazy_[n] = lazy && !eager_[n] && is_lazy(graph_.nodes()[n]);
    }
    waiting_for_.resize(count);
    for (size_t n = 0; n < count; ++n) waiting_for_[n] = precedence_.before[n].size();
    done_.assign(count, false);
    order_.clear();
    run_all(/*late=*/false);
    const size_t first_update = order_.size();
    run_all(/*late=*/true);
    TT_ASSERT(order_.size() == count);
    return {std::move(order_), first_update};
  }

 private:
  bool is_late(uint32_t n) const {
    return options_.updates_last && graph_.nodes()[n].phase == Phase::kUpdate;
  }

  bool is_eager(const Node& node) const {
    if (node.phase == Phase::kUpdate) return !options_.updates_last;
    if (node.op->mutates != 0) return true;  // accumulation of a gradient
    return condenses_forward_values(graph_, node);
  }

  bool is_lazy(const Node& node) const {
    if (node.op->mutates != 0) return false;
    if (node.phase == Phase::kRecompute) return true;
    return std::all_of(node.inputs.begin(), node.inputs.end(), [&](ValueId id) {
      const Value& value = graph_.value(id);
      return is_persistent(value.role) ||
             (value.producer != kNoNode && lazy_[index(value.producer)] &&
              graph_.node(value.producer).phase != Phase::kRecompute);
    });
  }

  void run_all(bool late) {
    for (const bool only_asked : {true, false}) {
      for (uint32_t n = 0; n < graph_.nodes().size(); ++n) {
        if (done_[n] || is_late(n) != late || (only_asked && lazy_[n])) continue;
        if (eager_[n] && waiting_for_[n] > 0) continue;  // its last predecessor will run it
        require(n);
      }
    }
  }

  // Runs what `node` waits for, in the order of the graph, then `node`.
  void require(uint32_t node) {
    Order stack{node};
    while (!stack.empty()) {
      const uint32_t top = stack.back();
      const auto& before = precedence_.before[top];
      uint32_t missing = UINT32_MAX;
      for (const uint32_t n : before) {
        if (!done_[n]) missing = std::min(missing, n);
      }
      if (missing != UINT32_MAX) {
        stack.push_back(missing);
        continue;
      }
      stack.pop_back();
      if (!done_[top]) run_with_eager_readers(top);
    }
  }

  void run_with_eager_readers(uint32_t first) {
    Order stack{first}, ready;
    while (!stack.empty()) {
      const uint32_t node = stack.back();
      stack.pop_back();
      done_[node] = true;
      order_.push_back(node);
      ready.clear();
      for (const uint32_t n : precedence_.after[node]) {
        if (--waiting_for_[n] == 0 && eager_[n]) ready.push_back(n);
      }
      std::sort(ready.begin(), ready.end(), std::greater<>());
      stack.insert(stack.end(), ready.begin(), ready.end());
    }
  }

  const Graph& graph_;
  const Precedence& precedence_;
  const ScheduleOptions& options_;
  std::vector<bool> eager_, lazy_, done_;
  std::vector<size_t> waiting_for_;
  Order order_;
};

Schedule schedule_of(const Order& order, size_t first_update, int threads) {
  Schedule result{.order = {}, .first_update = first_update, .threads = threads};
  result.order.reserve(order.size());
  for (const uint32_t n : order) result.order.push_back(NodeId{n});
  return result;
}

}  // namespace

Schedule schedule(const Graph& graph, const ScheduleOptions& options, const tt_kernels* kernels) {
  Precedence precedence(graph);
  precedence.keep_recomputation_late(graph);
  ListScheduler scheduler(graph, precedence, options);
  if (!options.reorder) {
    const OrderWithBorder plain = scheduler.run(/*eager=*/false, /*lazy=*/false);
    return schedule_of(plain.order, plain.first_update, options.threads);
  }
  const OrderModel model(graph, kernels == nullptr ? *tt_best_kernels() : *kernels,
                         options.threads);
  const auto peak = [&](const Order& order) { return peak_of(profile_of(model, order)).bytes; };
  OrderWithBorder best = scheduler.run(/*eager=*/true, /*lazy=*/true);
  OrderWithBorder prompt = scheduler.run(/*eager=*/true, /*lazy=*/false);
  if (peak(prompt.order) < peak(best.order)) best = std::move(prompt);
  return schedule_of(lower_peak(model, precedence, std::move(best.order), best.first_update),
                     best.first_update, options.threads);
}

}  // namespace tinytl

// The order of nodes: how small its peak is, against exhaustive search and known answers.

#include "engine/schedule/order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "engine/ops/passes.h"
#include "engine/runtime/executor.h"
#include "optim/optimizer.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

using Order = std::vector<uint32_t>;

constexpr size_t kAlignment = 64;

Order order_of(const Schedule& schedule) {
  Order order;
  for (const NodeId id : schedule.order) order.push_back(static_cast<uint32_t>(index(id)));
  return order;
}

Schedule schedule_of(const Order& order) {
  Schedule schedule{.order = {}, .first_update = order.size()};
  for (const uint32_t n : order) schedule.order.push_back(NodeId{n});
  return schedule;
}

// Straight from the buffers, without the model.
std::vector<size_t> true_profile(const Graph& graph, const Schedule& schedule) {
  std::vector<size_t> bytes(schedule.order.size(), 0);
  for (const Lifetime& t : assign_buffers(graph, schedule, tt_portable_kernels).lifetimes) {
    for (int step = t.first; step <= t.last; ++step) {
      bytes[size_t(step)] += (t.bytes + kAlignment - 1) / kAlignment * kAlignment;
    }
  }
  return bytes;
}

size_t true_peak(const Graph& graph, const Schedule& schedule) {
  const Buffers buffers = assign_buffers(graph, schedule, tt_portable_kernels);
  return live_bytes_bound(buffers.lifetimes, kAlignment).bytes;
}

Schedule ordered(const Graph& graph, const ScheduleOptions& options = {}) {
  return schedule(graph, options, &tt_portable_kernels);
}

// Any valid order.
Order random_order(const Precedence& precedence, std::mt19937& rng) {
  Order order, ready;
  std::vector<size_t> waiting(precedence.before.size());
  for (uint32_t n = 0; n < waiting.size(); ++n) {
    waiting[n] = precedence.before[n].size();
    if (waiting[n] == 0) ready.push_back(n);
  }
  while (!ready.empty()) {
    std::swap(ready[rng() % ready.size()], ready.back());
    order.push_back(ready.back());
    ready.pop_back();
    for (const uint32_t n : precedence.after[order.back()]) {
      if (--waiting[n] == 0) ready.push_back(n);
    }
  }
  return order;
}

// What schedule starts from, by the rule: the order of the graph, where updates, accumulations and
// masks run as soon as they can.
Order eager_order(const Graph& graph) {
  const Precedence precedence(graph);
  std::vector<bool> done(graph.nodes().size(), false);
  Order order;
  const auto is_eager = [&](const Node& node) {
    return node.op->mutates != 0 || node.phase == Phase::kUpdate ||
           condenses_forward_values(graph, node);
  };
  const auto run = [&](const auto& self, uint32_t node) -> void {
    done[node] = true;
    order.push_back(node);
    Order after = precedence.after[node];
    std::sort(after.begin(), after.end());
    for (const uint32_t n : after) {
      const auto& before = precedence.before[n];
      const bool ready =
          std::all_of(before.begin(), before.end(), [&](uint32_t b) { return done[b]; });
      if (!done[n] && ready && is_eager(graph.nodes()[n])) self(self, n);
    }
  };
  for (uint32_t n = 0; n < graph.nodes().size(); ++n) {
    const auto& before = precedence.before[n];
    const bool ready =
        std::all_of(before.begin(), before.end(), [&](uint32_t b) { return done[b]; });
    if (!done[n] && ready) run(run, n);
  }
  return order;
}

// The smallest peak of all valid orders, one after the other.
class Exhaustive {
 public:
  Exhaustive(const OrderModel& model, const Precedence& precedence)
      : model_(model), precedence_(precedence), done_(precedence.before.size(), false) {
    walk(Replay(model), 0, 0);
  }
  size_t best() const { return best_; }

 private:
  void walk(const Replay& replay, size_t steps, size_t peak) {
    if (peak >= best_) return;
    if (steps == done_.size()) best_ = peak;
    for (uint32_t n = 0; n < done_.size(); ++n) {
      const auto& before = precedence_.before[n];
      if (done_[n] ||
          !std::all_of(before.begin(), before.end(), [&](uint32_t b) { return done_[b]; })) {
        continue;
      }
      Replay next = replay;
      const size_t during = next.run(n);
      done_[n] = true;
      walk(next, steps + 1, std::max(peak, during));
      done_[n] = false;
    }
  }

  const OrderModel& model_;
  const Precedence& precedence_;
  std::vector<bool> done_;
  size_t best_ = SIZE_MAX;
};

// Values of many sizes; in place, views (read beside the whole, too), concatenations, parameters
// and their slices.
class RandomGraph {
 public:
  RandomGraph(std::mt19937& rng, size_t nodes) : rng_(rng) {
    weight_ = add_weight(graph_, "w", {8, 64});
    for (int i = 0; i < 2; ++i) {
      values_.push_back(graph_.add_input(std::to_string(i), {DType::kF32, {1, columns()}}));
    }
    while (graph_.nodes().size() < nodes) values_.push_back(next());
    const auto readers_of = readers(graph_);
    for (const ValueId id : values_) {
      const bool unread = readers_of[index(id)].empty();
      if (graph_.value(id).producer != kNoNode && (unread || rng_() % 8 == 0)) {
        graph_.outputs.push_back(id);
      }
    }
    if (rng_() % 2 == 0) graph_.outputs = {graph_.outputs.back()};
    graph_ = prune(graph_);
  }
  const Graph& graph() const { return graph_; }

 private:
  int64_t columns() { return int64_t(16) << rng_() % 5; }
  int64_t columns_of(ValueId id) const { return graph_.value(id).type.dim(1); }
  ValueId pick() { return values_[rng_() % values_.size()]; }
  ValueId slice(ValueId x, int64_t row, int64_t first, int64_t size) {
    return emit(graph_, kSlice, "slice", {x},
                {{"starts", Shape{row, first}}, {"sizes", Shape{1, size}}, {"steps", Shape{1, 1}}});
  }

  ValueId next() {
    const ValueId x = pick();
    switch (rng_() % 9) {
      case 0:
        return emit(graph_, kTanh, "tanh", {x});
      case 6:  // of a value and a part of it: not over the value
        return emit(graph_, kAdd, "add", {x, slice(x, 0, columns_of(x) - 1, 1)});
      case 1:
        return emit(graph_, kConcat, "concat", {x, pick()}, {{"axis", int64_t{1}}});
      case 2:
        return slice(x, 0, 0, (columns_of(x) + 1) / 2);
      case 3:
        return slice(weight_, int64_t(rng_() % 8), 0, 64);
      case 4:
        return emit(graph_, kSumTo, "sum", {x}, {{"shape", Shape{1, 1}}});
      case 5: {
        const ValueId sum = emit(graph_, kSumTo, "sum", {x}, {{"shape", Shape{1, 1}}});
        return emit(graph_, kBroadcastTo, "spread", {sum}, {{"shape", Shape{1, columns()}}});
      }
      default: {
        for (const ValueId y : values_) {
          if (y != x && columns_of(y) == columns_of(x)) return emit(graph_, kAdd, "add", {x, y});
        }
        return emit(graph_, kSigmoid, "sigmoid", {x});
      }
    }
  }

  std::mt19937& rng_;
  Graph graph_;
  ValueId weight_{};
  std::vector<ValueId> values_;
};

Graph random_training_graph(std::mt19937& rng, const OptimizerOptions& options = {}) {
  const Graph model = random_network(rng);
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(model)) {
    if (rng() % 4 != 0) scheme.parameters.push_back({id});
  }
  if (scheme.parameters.empty()) scheme.parameters.push_back({parameters_of(model)[0]});
  return append_updates(differentiate(model, {.kind = Loss::Kind::kMeanSquaredError}, scheme),
                        options)
      .graph;
}

void expect_valid(const Precedence& precedence, const Order& order) {
  std::vector<size_t> place(order.size(), order.size());
  ASSERT_EQ(order.size(), precedence.before.size());
  for (size_t i = 0; i < order.size(); ++i) place[order[i]] = i;
  for (uint32_t n = 0; n < order.size(); ++n) {
    ASSERT_LT(place[n], order.size());
    for (const uint32_t before : precedence.before[n]) EXPECT_LT(place[before], place[n]);
  }
}

TEST(OrderModel, AgreesWithTheBuffersInEveryStepOfAnyOrder) {
  std::mt19937 rng(3);
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(trial);
    const Graph graph =
        trial % 2 == 0 ? random_training_graph(rng) : RandomGraph(rng, 4 + rng() % 30).graph();
    const OrderModel model(graph, tt_portable_kernels);
    const Order order = random_order(Precedence(graph), rng);
    const std::vector<size_t> profile = profile_of(model, order);
    ASSERT_EQ(profile, true_profile(graph, schedule_of(order))) << to_string(graph);
    EXPECT_EQ(peak_of(profile).bytes, true_peak(graph, schedule_of(order)));
  }
}

TEST(Order, IsNeverWorseThanTheOneItStartsFrom) {
  std::mt19937 rng(4);
  size_t better = 0;
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(trial);
    const Graph graph =
        trial % 2 == 0 ? random_training_graph(rng) : RandomGraph(rng, 4 + rng() % 60).graph();
    const Schedule found = ordered(graph);
    expect_valid(Precedence(graph), order_of(found));
    const size_t start = true_peak(graph, schedule_of(eager_order(graph)));
    const size_t peak = true_peak(graph, found);
    EXPECT_LE(peak, start);
    EXPECT_LE(order_free_floor(graph, tt_portable_kernels), peak);
    better += peak < start;
  }
  EXPECT_GT(better, 60u);
}

TEST(Order, KeepsUpdatesLast) {
  std::mt19937 rng(5);
  for (int trial = 0; trial < 60; ++trial) {
    const Graph graph = random_training_graph(rng, {.accumulation_steps = 2});
    for (const bool reorder : {false, true}) {
      const Schedule found = ordered(graph, {.updates_last = true, .reorder = reorder});
      expect_valid(Precedence(graph), order_of(found));
      for (size_t i = 0; i < found.order.size(); ++i) {
        EXPECT_EQ(graph.node(found.order[i]).phase == Phase::kUpdate, i >= found.first_update);
      }
    }
  }
}

TEST(Order, IsTheBestOfAllOrdersOfSmallGraphs) {
  std::mt19937 rng(6);
  for (int trial = 0; trial < 400; ++trial) {
    const Graph graph = RandomGraph(rng, 3 + rng() % 7).graph();
    if (graph.nodes().size() > 9) continue;
    const OrderModel model(graph, tt_portable_kernels);
    const Precedence precedence(graph);
    const size_t best = Exhaustive(model, precedence).best();
    EXPECT_EQ(true_peak(graph, ordered(graph)), best) << to_string(graph);
    EXPECT_LE(order_free_floor(graph, tt_portable_kernels), best) << to_string(graph);
  }
}

TEST(Order, WithoutReorderIsThatOfTheGraph) {
  std::mt19937 rng(7);
  const Graph graph = random_training_graph(rng);
  Order graph_order(graph.nodes().size());
  std::iota(graph_order.begin(), graph_order.end(), 0u);
  EXPECT_EQ(order_of(ordered(graph, {.reorder = false})), graph_order);
}

TEST(Order, StaysWhereNothingIsGained) {
  const Graph graph = small_cnn(2);
  Order graph_order(graph.nodes().size());
  std::iota(graph_order.begin(), graph_order.end(), 0u);
  EXPECT_EQ(order_of(ordered(graph)), graph_order);
}

class SmallGraphs : public testing::Test {
 protected:
  ValueId input(int64_t columns) {
    return g_.add_input(std::to_string(g_.inputs.size()), {DType::kF32, {1, columns}});
  }
  ValueId sum(ValueId x) { return emit(g_, kSumTo, "sum", {x}, {{"shape", Shape{1, 1}}}); }
  ValueId spread(ValueId x, int64_t columns, Phase phase = Phase::kForward) {
    return emit(g_, kBroadcastTo, "spread", {x}, {{"shape", Shape{1, columns}}}, phase);
  }
  ValueId add(ValueId x, ValueId y) { return emit(g_, kAdd, "add", {x, y}); }
  size_t place(ValueId id) const {
    const Order order = order_of(ordered(g_));
    const auto node = static_cast<uint32_t>(index(g_.value(id).producer));
    return size_t(std::find(order.begin(), order.end(), node) - order.begin());
  }

  Graph g_;
};

// One branch ends in 4 kB after a peak of 4 kB, the other in 4 bytes after a peak of 40 kB.
TEST_F(SmallGraphs, TheBranchWithTheHigherPeakRunsFirst) {
  const ValueId x = input(1);
  const ValueId wide = spread(x, 1000);
  const ValueId peaked = sum(spread(x, 10000));
  g_.outputs = {add(wide, peaked)};
  EXPECT_LT(place(peaked), place(wide));
  EXPECT_EQ(true_peak(g_, ordered(g_)), 40000u + 64 + 64);
}

// What reads persistent values only waits for its reader.
TEST_F(SmallGraphs, ANodeThatReadsAParameterOnlyRunsWhenNeeded) {
  const ValueId w = add_weight(g_, "w", {1, 2});
  const ValueId early = emit(g_, kTanh, "early", {w});
  const ValueId x = input(1), y = sum(spread(x, 100)), z = sum(spread(y, 100));
  const ValueId reader = add(z, early);
  g_.outputs = {reader};
  EXPECT_EQ(place(early) + 1, place(reader));
}

TEST_F(SmallGraphs, RecomputationRunsRightBeforeItsFirstReader) {
  const ValueId x = input(1);
  const ValueId again = emit(g_, kTanh, "again", {x}, {}, Phase::kRecompute);
  const ValueId deep = emit(g_, kTanh, "again", {again}, {}, Phase::kRecompute);
  ValueId y = x;
  for (int i = 0; i < 5; ++i) y = sum(spread(y, 100));
  const ValueId reader = emit(g_, kMul, "reader", {y, deep}, {}, Phase::kBackward);
  g_.outputs = {reader};
  EXPECT_EQ(place(deep) + 1, place(reader));
  EXPECT_EQ(place(again) + 2, place(reader));
}

// The gradient of a matrix is the larger one, and its update frees it: better while dx is not yet
// there. Its input gradient is asked for first here.
TEST_F(SmallGraphs, TheWeightGradientMayRunBeforeTheInputGradient) {
  const ValueId x = input(1), y = spread(x, 64), dy = spread(sum(y), 64);
  const ValueId dx = spread(sum(dy), 1000);        // reads dy
  const ValueId dw = add(spread(sum(y), 64), dy);  // reads y and dy
  g_.outputs = {sum(dx), sum(dw)};
  EXPECT_LT(place(dw), place(dx));
}

std::vector<float> trained(const Graph& source, const ScheduleOptions& options) {
  const Graph graph = with_own_tensors(source);
  Executor executor(compile(graph, *tt_best_kernels(), options));
  for (int step = 0; step < 3; ++step) {
    for (const ValueId id : graph.inputs) {
      const std::span<float> values = executor.f32(id);
      for (size_t i = 0; i < values.size(); ++i) values[i] = 0.01f * float((i * 7 + step) % 13 + 1);
    }
    executor.step();
  }
  std::vector<float> result;
  for (const ValueId id : parameters_of(graph)) {
    const auto values = executor.f32(id);
    result.insert(result.end(), values.begin(), values.end());
  }
  return result;
}

TEST(Order, ChangesNoBit) {
  std::mt19937 rng(8);
  for (int trial = 0; trial < 40; ++trial) {
    SCOPED_TRACE(trial);
    const Graph graph = random_training_graph(rng);
    const auto want = trained(graph, {.reorder = false});
    const auto got = trained(graph, {});
    ASSERT_EQ(got.size(), want.size());
    EXPECT_EQ(std::memcmp(got.data(), want.data(), got.size() * sizeof(float)), 0);
  }
}

TEST(Order, IsTheSameEveryTime) {
  std::mt19937 rng(9);
  const Graph graph = random_training_graph(rng);
  EXPECT_EQ(order_of(ordered(graph)), order_of(ordered(graph)));
}

}  // namespace
}  // namespace tinytl

// The order of nodes: valid always, masks in the forward pass, updates as early as they may run.

#include "engine/schedule/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "optim/optimizer.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

UpdateScheme everything(const Graph& graph) {
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(graph)) scheme.parameters.push_back({id});
  return scheme;
}

Graph training_graph(const Graph& model, int accumulation_steps = 1) {
  return append_updates(differentiate(model, {}, everything(model)),
                        {.accumulation_steps = accumulation_steps})
      .graph;
}

size_t position(const Schedule& s, NodeId node) {
  return static_cast<size_t>(std::find(s.order.begin(), s.order.end(), node) - s.order.begin());
}

// The persistent value an input is, itself or through views; else the value.
ValueId root_of(const Graph& graph, ValueId id) {
  const NodeId producer = graph.value(id).producer;
  if (producer == kNoNode || !view_offset(graph, graph.node(producer))) return id;
  return root_of(graph, graph.node(producer).inputs[0]);
}

// Straight from the definition: the interpreter's view, one node after the other.
void expect_valid(const Graph& graph, const Schedule& schedule) {
  const size_t count = graph.nodes().size();
  ASSERT_EQ(schedule.order.size(), count);
  std::vector<size_t> at(count, count);
  for (size_t step = 0; step < count; ++step) at[index(schedule.order[step])] = step;
  for (size_t n = 0; n < count; ++n) {
    ASSERT_LT(at[n], count) << "node " << n << " does not run";
    for (const ValueId id : graph.nodes()[n].inputs) {
      const NodeId producer = graph.value(id).producer;
      if (producer != kNoNode) {
        EXPECT_LT(at[index(producer)], at[n]);
      }
    }
  }
  for (size_t n = 0; n < count; ++n) {  // every overwriting keeps its place among the readers
    const Node& node = graph.nodes()[n];
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if ((node.op->mutates >> i & 1) == 0) continue;
      for (size_t m = 0; m < count; ++m) {
        for (const ValueId id : graph.nodes()[m].inputs) {
          if (m == n || root_of(graph, id) != node.inputs[i]) continue;
          EXPECT_EQ(at[m] < at[n], m < n) << "node " << m << " and the update " << n;
        }
      }
    }
  }
}

TEST(Schedule, IsAValidOrderOfRandomTrainingGraphs) {
  std::mt19937 rng(1);
  for (int trial = 0; trial < 100; ++trial) {
    SCOPED_TRACE(trial);
    const Graph model = random_network(rng);
    GradientGraph gradients =
        differentiate(model, {.kind = Loss::Kind::kMeanSquaredError}, everything(model));
    OptimizerOptions options{.clip_norm = trial % 3 == 0 ? 1.0f : 0.0f,
                             .accumulation_steps = trial % 2 == 0 ? 1 : 4};
    const Graph graph = append_updates(std::move(gradients), options).graph;
    expect_valid(graph, schedule(graph));
    expect_valid(graph, schedule(graph, {.updates_last = true}));
  }
}

TEST(Schedule, ForwardNodesKeepTheirOrder) {
  const Graph graph = training_graph(small_cnn(2));
  NodeId last{0};
  for (const NodeId id : schedule(graph).order) {
    if (graph.node(id).phase != Phase::kForward) continue;
    EXPECT_GE(id, last);
    last = id;
  }
}

// So that what they read need not be kept for the backward pass.
TEST(Schedule, MasksRunInTheForwardPass) {
  const Graph model = small_cnn(2);
  UpdateScheme biases;
  for (const ValueId id : parameters_of(model)) {
    if (model.value(id).role == Role::kBias) biases.parameters.push_back({id});
  }
  const Graph graph = differentiate(model, {}, biases).graph;
  const Schedule s = schedule(graph);
  const auto is_loss_gradient = [&](NodeId id) {
    return graph.node(id).op == &kSoftmaxCrossEntropyGrad;
  };
  const auto found = std::find_if(s.order.begin(), s.order.end(), is_loss_gradient);
  const auto loss_gradient = static_cast<size_t>(found - s.order.begin());
  size_t masks = 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (node.op != &kClipMask) continue;
    EXPECT_LT(position(s, NodeId{static_cast<uint32_t>(n)}), loss_gradient);
    ++masks;
  }
  EXPECT_EQ(masks, 5u);
}

// Between the gradient and its update stand only readers of the old parameter and other updates.
TEST(Schedule, AnUpdateRunsAsSoonAsItMay) {
  const Graph graph = training_graph(small_cnn(2));
  const Schedule s = schedule(graph, {}, &tt_portable_kernels);  // no scratch that moves nodes
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (node.phase != Phase::kUpdate) continue;
    size_t earliest = 0;
    for (size_t m = 0; m < n; ++m) {
      const Node& other = graph.nodes()[m];
      const bool reads_parameter =
          std::count(other.inputs.begin(), other.inputs.end(), node.inputs[0]) > 0;
      const bool makes_gradient = graph.value(node.inputs[1]).producer == NodeId(m);
      if (reads_parameter || makes_gradient) {
        earliest = std::max(earliest, position(s, NodeId(m)) + 1);
      }
    }
    for (size_t step = earliest; step < position(s, NodeId(n)); ++step) {
      EXPECT_EQ(graph.node(s.order[step]).phase, Phase::kUpdate) << node.name;
    }
  }
  EXPECT_EQ(s.first_update, s.order.size());
}

TEST(Schedule, UpdatesLastPutsEveryUpdateAtTheEnd) {
  for (const int accumulation : {1, 4}) {
    const Graph graph = training_graph(small_cnn(2), accumulation);
    const Schedule s = schedule(graph, {.updates_last = true});
    ASSERT_LT(s.first_update, s.order.size());
    for (size_t step = 0; step < s.order.size(); ++step) {
      EXPECT_EQ(graph.node(s.order[step]).phase == Phase::kUpdate, step >= s.first_update);
    }
  }
}

TEST(Schedule, AccumulationRunsAsSoonAsTheGradientExists) {
  const Graph graph = training_graph(small_cnn(2), /*accumulation_steps=*/4);
  const Schedule s = schedule(graph, {.updates_last = true});
  size_t found = 0;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (node.op != &kAccumulate) continue;
    EXPECT_EQ(position(s, NodeId(n)), position(s, graph.value(node.inputs[1]).producer) + 1);
    ++found;
  }
  EXPECT_EQ(found, parameters_of(graph).size());
}

// The view's reader reads the parameter's own bytes.
TEST(Schedule, AnUpdateWaitsForReadersOfAViewOfTheParameter) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::kF32, {2, 3}});
  const ValueId gradient = g.add_input("gradient", {DType::kF32, {6}});
  const ValueId rate = g.add_input("rate", {DType::kF32, {1}});
  const ValueId p = add_weight(g, "p", {6});
  const ValueId view = emit(g, kReshape, "view", {p}, {{"shape", Shape{2, 3}}});
  const ValueId first = emit(g, kTanh, "first", {x});
  g.outputs = {emit(g, kAdd, "reader", {first, view})};
  emit_all(g, kSgdUpdate, "update", {p, gradient, rate, rate},
           {{"momentum", 0.0f}, {"nesterov", int64_t{0}}, {"weight_decay", 0.0f}}, Phase::kUpdate);
  const Schedule s = schedule(g);
  expect_valid(g, s);
  EXPECT_EQ(g.node(s.order.back()).name, "update");
}

TEST(Schedule, AGraphWithoutNodesHasAnEmptyOrder) {
  Graph g;
  g.outputs = {g.add_input("x", {DType::kF32, {2}})};
  EXPECT_TRUE(schedule(g).order.empty());
}

}  // namespace
}  // namespace tinytl

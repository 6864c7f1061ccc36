#include "engine/schedule/schedule.h"

#include <algorithm>

#include "engine/ops/passes.h"

namespace tinytl {
namespace {

bool mutates(const Node& node, ValueId value) {
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    if (node.inputs[i] == value && (node.op->mutates >> i & 1) != 0) return true;
  }
  return false;
}

// The nodes that read each value or a view of it, in node order.
std::vector<std::vector<NodeId>> users(const Graph& graph) {
  std::vector<std::vector<NodeId>> result(graph.values().size());
  std::vector<size_t> root(graph.values().size());
  for (size_t v = 0; v < root.size(); ++v) root[v] = v;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (view_offset(graph, node)) root[index(node.outputs[0])] = root[index(node.inputs[0])];
    for (const ValueId input : node.inputs) {
      auto& list = result[root[index(input)]];
      const NodeId id{static_cast<uint32_t>(n)};
      if (list.empty() || list.back() != id) list.push_back(id);
    }
  }
  return result;
}

// Who must run before whom: producers before readers, and around every overwriting of a value the
// order of the graph.
class Dependencies {
 public:
  explicit Dependencies(const Graph& graph)
      : successors_(graph.nodes().size()), waiting_for_(graph.nodes().size(), 0) {
    const auto readers_of = readers(graph), users_of = users(graph);
    for (size_t v = 0; v < graph.values().size(); ++v) {
      const NodeId producer = graph.values()[v].producer;
      if (producer != kNoNode) {
        for (const NodeId reader : readers_of[v]) add(producer, reader);
      }
      const auto& list = users_of[v];
      const ValueId value{static_cast<uint32_t>(v)};
      for (size_t i = 0; i < list.size(); ++i) {
        for (size_t j = 0; j < i; ++j) {
          if (mutates(graph.node(list[i]), value) || mutates(graph.node(list[j]), value)) {
            add(list[j], list[i]);
          }
        }
      }
    }
  }

  bool ready(NodeId node) const { return waiting_for_[index(node)] == 0; }
  // Marks `node` as run; returns the nodes that became ready by it, in graph order.
  std::vector<NodeId> finish(NodeId node) {
    std::vector<NodeId> freed;
    for (const NodeId s : successors_[index(node)]) {
      if (--waiting_for_[index(s)] == 0) freed.push_back(s);
    }
    std::sort(freed.begin(), freed.end());
    return freed;
  }

 private:
  void add(NodeId before, NodeId after) {
    successors_[index(before)].push_back(after);
    ++waiting_for_[index(after)];
  }
  std::vector<std::vector<NodeId>> successors_;
  std::vector<int> waiting_for_;
};

// Runs as soon as it can rather than in graph order.
bool is_eager(const Graph& graph, const Node& node, const ScheduleOptions& options) {
  if (node.phase == Phase::kUpdate) return !options.updates_last;
  if (node.op->mutates != 0) return true;  // accumulation of a gradient
  return condenses_forward_values(graph, node);
}

}  // namespace

Schedule schedule(const Graph& graph, const ScheduleOptions& options) {
  Dependencies dependencies(graph);
  const size_t count = graph.nodes().size();
  std::vector<bool> eager(count), done(count, false);
  for (size_t n = 0; n < count; ++n) eager[n] = is_eager(graph, graph.nodes()[n], options);

  Schedule result;
  result.order.reserve(count);
  const auto run = [&](NodeId first) {
    std::vector<NodeId> stack{first};
    while (!stack.empty()) {
      const NodeId node = stack.back();
      stack.pop_back();
      TT_ASSERT(!done[index(node)]);
      done[index(node)] = true;
      result.order.push_back(node);
      const std::vector<NodeId> freed = dependencies.finish(node);
      for (size_t i = freed.size(); i-- > 0;) {
        if (eager[index(freed[i])]) stack.push_back(freed[i]);
      }
    }
  };
  const auto run_all = [&](bool updates) {
    for (size_t n = 0; n < count; ++n) {
      const NodeId id{static_cast<uint32_t>(n)};
      const bool is_late = options.updates_last && graph.nodes()[n].phase == Phase::kUpdate;
      if (done[n] || is_late != updates) continue;
      if (eager[n] && !dependencies.ready(id)) continue;  // its last predecessor will run it
      TT_ASSERT(dependencies.ready(id));
      run(id);
    }
  };
  run_all(/*updates=*/false);
  result.first_update = result.order.size();
  run_all(/*updates=*/true);
  TT_ASSERT(result.order.size() == count);
  return result;
}

}  // namespace tinytl

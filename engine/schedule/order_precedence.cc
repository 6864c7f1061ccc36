#include "engine/schedule/order_precedence.h"

#include <algorithm>

#include "engine/ops/op.h"

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

}  // namespace

Precedence::Precedence(const Graph& graph)
    : before(graph.nodes().size()), after(graph.nodes().size()) {
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    for (const ValueId input : graph.nodes()[n].inputs) {
      const NodeId producer = graph.value(input).producer;
      if (producer != kNoNode) add(producer, NodeId{static_cast<uint32_t>(n)});
    }
  }
  const auto users_of = users(graph);
  for (size_t v = 0; v < users_of.size(); ++v) {
    const auto& list = users_of[v];
    for (size_t i = 0; i < list.size(); ++i) {
      if (!mutates(graph.node(list[i]), ValueId{static_cast<uint32_t>(v)})) continue;
      for (size_t j = 0; j < list.size(); ++j) {
        if (j != i) add(std::min(list[i], list[j]), std::max(list[i], list[j]));
      }
    }
  }
}

void Precedence::keep_recomputation_late(const Graph& graph) {
  const auto nodes = graph.nodes();
  const auto is_forward = [](const Node& node) { return node.phase == Phase::kForward; };
  const auto last = std::find_if(nodes.rbegin(), nodes.rend(), is_forward);
  if (last == nodes.rend()) return;
  const auto end_of_forward = static_cast<uint32_t>(nodes.rend() - last);
  for (uint32_t n = end_of_forward; n < nodes.size(); ++n) {
    if (nodes[n].phase == Phase::kRecompute) add(NodeId{end_of_forward - 1}, NodeId{n});
  }
}

void Precedence::add(NodeId first, NodeId second) {
  after[index(first)].push_back(static_cast<uint32_t>(index(second)));
  before[index(second)].push_back(static_cast<uint32_t>(index(first)));
}

}  // namespace tinytl

// What training keeps of the forward pass, and what it would keep if some of it were dropped.
#pragma once

#include <vector>

#include "engine/graph/graph.h"

namespace tinytl {

// Values that share bytes (views) stand and fall together: sets of dropped values are by root.
// Nodes behind the forward pass are called late; those that condense forward values
// (condenses_forward_values) belong to the forward pass as long as nothing they read is dropped.
class Saves {
 public:
  // A set of values, by index; true for the root of what is in it.
  using Set = std::vector<bool>;

  explicit Saves(const Graph& graph);

  // Itself, or the value that `id` is a view of.
  ValueId root(ValueId id) const { return root_[index(id)]; }
  bool is_forward(NodeId node) const { return graph_.node(node).phase == Phase::kForward; }
  bool condenses(NodeId node) const { return condenses_[index(node)]; }

  Set set_of(std::span<const ValueId> values) const;
  // True of a late node that cannot run beside the forward pass.
  bool is_late(NodeId node, const Set& dropped) const;
  // The values that are there, or are kept, when the late nodes run.
  Set kept(const Set& dropped) const;
  // The forward nodes to run once more, so that late nodes find what is not kept. Ascending.
  std::vector<NodeId> to_repeat(const Set& dropped) const;

  // Roots of the forward values that late nodes read and a node could compute once more: what can
  // be dropped. Ascending.
  std::vector<ValueId> droppable() const;
  // Bytes that no longer wait for the late nodes when `dropped` is; less what waits instead of it.
  int64_t freed_bytes(const Set& dropped) const;

 private:
  size_t kept_bytes(const Set& dropped) const;

  const Graph& graph_;
  std::vector<ValueId> root_;    // by value
  std::vector<bool> condenses_;  // by node
};

}  // namespace tinytl

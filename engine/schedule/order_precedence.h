// Who must run before whom.
#pragma once

#include <vector>

#include "engine/graph/graph.h"

namespace tinytl {

// Producers before readers, and around every overwriting of a parameter or a state (through views
// too) the order of the graph. By node: indices of nodes; one may be named more than once.
struct Precedence {
  std::vector<std::vector<uint32_t>> before, after;

  explicit Precedence(const Graph& graph);  // O(edges + readers x overwritings of each value)

  // And recomputation behind the forward pass, where the graph has it there.
  void keep_recomputation_late(const Graph& graph);

 private:
  void add(NodeId first, NodeId second);
};

}  // namespace tinytl

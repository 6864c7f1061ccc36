// Recognises layers that exporters write as several nodes.
#pragma once

#include "engine/graph/graph.h"

namespace tinytl::internal {

// Turns the last node of every decomposed LayerNorm, GELU, SiLU and HardSwish into that operator.
// The nodes that only it read are left behind for prune().
void fuse(Graph& graph);

}  // namespace tinytl::internal

// Layers whose results exist a few rows at a time.
#pragma once

#include "engine/ops/op.h"

namespace tinytl {

// Joins integer convolutions one behind the other into QConvChain nodes, where nothing but the next
// layer reads what is between them and their rows are long enough to be worth a call. The large
// maps in front of a network whose later layers train then need no bytes of the arena but for a few
// rows; results keep their bits. Comes after differentiation: what the backward pass reads stays.
// Ids of values stay. O(nodes + edges).
void stream_rows(Graph& graph);

}  // namespace tinytl

// Which form of a saved activation is the cheapest, decided when all its readers are known.
#pragma once

#include "engine/graph/graph.h"

namespace tinytl {

// Clip's gradient rule saves one bit an element. Where another backward node keeps the clipped
// value itself, the bits are waste: MaskApply(dy, ClipMask(y)) becomes ClipGrad(dy, y). The numbers
// are the same. The mask nodes are left unread, for prune.
void prefer_kept_values_to_masks(Graph& graph);

}  // namespace tinytl

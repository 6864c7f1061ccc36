// Saved activations in fewer bits: a lever that changes gradients a little, and no result of the
// forward pass.
#pragma once

#include "engine/graph/graph.h"

namespace tinytl {

// Every f32 value of the forward pass that only backward nodes keep is stored in 8 or 4 bits an
// element, with a range for each entry of its last axis (RangeEncode, RangeDecode), where that
// saves bytes. The forward pass never reads the codes; each backward reader gets a decoded value
// of its own, just in front of it. ClipGrad of such a value becomes a bit mask again, which is
// exact: MaskApply(dy, ClipMask(y)).
//
// `graph` is that of differentiate(), before updates are appended; its value ids stay. `bits`: 8,
// or 4 (8 where the last axis is odd). After ActNN (Chen et al., ICML 2021), with channels for
// groups. O(edges).
void save_in_ranges(Graph& graph, int bits);

}  // namespace tinytl

// Whether a batch may run in parts: micro-batches with accumulated gradients.
#pragma once

#include <optional>

#include "engine/graph/graph.h"

namespace tinytl {

// The first forward node whose result for one sample depends on the others; empty where every
// sample goes its own way, so that a batch may run as smaller ones and give the same numbers.
//
// The batch is the outermost dimension of the first input. A value that depends on that input must
// keep the samples one after the other: sample n of N is the n-th N-th of its elements, under any
// shape ([8,49,64] or [392,64]). Operators this does not know count as mixing. A batch of one
// cannot be judged (nothing mixes in it): give the graph of two samples or more. O(edges + bytes of
// constants).
std::optional<NodeId> mixes_batch(const Graph& graph);

}  // namespace tinytl

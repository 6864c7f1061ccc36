// How nodes are divided among threads, and the scratch that this takes.
#pragma once

#include "engine/ops/op.h"

namespace tinytl {

// The parts that `node` is computed in, at the same time: one for each of `threads`, or one where
// its operator does not divide or waiting for the others would take longer than it saves. The same
// on every run and machine. O(inputs).
int parts_of(const Graph& graph, const Node& node, int threads);

// Bytes of scratch from one part to the next, where each needs `bytes`: no two share a cache line.
size_t scratch_stride(size_t bytes);

// OpDef::scratch_bytes, and in_place_scratch, of all `parts` together. One part: as the operator
// says; else a stride for each.
size_t scratch_bytes(const Node& node, InputTypes in, const tt_kernels& kernels, int parts);
std::optional<size_t> in_place_scratch(const Node& node, InputTypes in, const tt_kernels& kernels,
                                       int parts);

}  // namespace tinytl

// Tiled execution of the expensive front of a network, as a graph rewrite: the result is an
// ordinary graph, so gradients, planning and code generation know nothing of it.
#pragma once

#include "engine/schedule/regions.h"

namespace tinytl {

struct Tiling {
  Region region;
  int64_t pieces = 1;  // of 1 to region.extent; the last may be smaller
};

// The graph with each region in pieces, one after the other. Regions must come from
// find_regions(graph) and share no node. `new_ids`: the id of each old value, or UINT32_MAX where
// it does not exist any more (the values inside a region).
//
// Same numbers: strips give the same bits; groups of channels add up the products of the last
// convolution in another order. Parameters are sliced: slices that do not lie together are copied
// for each piece, so regions with few channels and many pixels gain most. Packed ones
// (engine/graph/packed.h) become a parameter a piece, so that neither a copy nor the whole is kept.
// O(nodes * pieces).
Graph tile(const Graph& graph, std::span<const Tiling> tilings,
           std::vector<ValueId>* new_ids = nullptr);

// Channels in a piece: the extent divided by `pieces`, rounded up to a multiple of 8 (a vector).
int64_t channels_of_piece(const Tiling& tiling);

}  // namespace tinytl

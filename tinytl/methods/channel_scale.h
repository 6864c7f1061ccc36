// A scale for every channel behind a layer: with the layer's bias, the two numbers that a folded
// normalisation had there.
#pragma once

#include <vector>

#include "engine/graph/graph.h"

namespace tinytl {

// The network with y = x w + b of every layer but those that read a parameter of `classifier` as
// y = (x w) s + b, where s, "NODE.scale", is 1 to begin with: the same numbers. Layers whose weight
// is no parameter or that have no bias stay, and so do norms, which have scales. `ids`: the new id
// of every value.
//
// Its gradient reads x w, which has to be kept: "--update norm" is as expensive as the paper's
// norm+last (Cai et al., TinyTL, NeurIPS 2020), and not a way to save memory.
Graph insert_channel_scales(const Graph& graph, const std::vector<ValueId>& classifier,
                            std::vector<ValueId>* ids);

// By value: whether it is a parameter that scales channels, here or in a normalisation.
std::vector<bool> channel_scales(const Graph& graph);

}  // namespace tinytl

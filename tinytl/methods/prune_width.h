// Adapting how wide the frozen feature extractor is: the paper's feature extractor adaptation, by
// the magnitude of weights instead of a supernet.
#pragma once

#include <vector>

#include "engine/graph/graph.h"

namespace tinytl {

// The network with round(width * channels) of the expanded channels of each inverted residual
// block (1x1, depthwise, linear 1x1; find_blocks.h), rounded to a multiple of 8 and at least 8. The
// others leave the expanding convolution, the depthwise one, the rows of the projection, and what
// stands between them; parameters keep their names, and the rest is shared with `graph`. What a
// block reads and writes stays, so that shortcuts and lite residuals fit.
//
// Those with most weight on the paths through them stay, in their order: the sum over such paths of
// |expand| |depthwise| |project|, the channel's part of the path norm (Neyshabur et al., Path-SGD,
// NeurIPS 2015; of data-free pruning, Tanaka et al., SynFlow, NeurIPS 2020). Unlike the L1 norm of
// one filter (Li et al., ICLR 2017), it does not change when a ReLU network is rescaled from layer
// to layer, as batch norms that are folded into weights do. A channel that is the same number for
// any input goes first, and that number goes into the bias of the projection: this loses nothing.
// Group norms lose whole groups, so that the statistics of the others stay.
//
// A block whose expanded channels have a reader besides, as a squeeze-excite gate, stays as it is.
// At width 1 nothing changes. `ids`: the new id of every value of `graph`. O(parameters).
//
// Throws InputError where width is not in (0, 1], or no block can be pruned.
Graph prune_width(const Graph& graph, double width, std::vector<ValueId>* ids = nullptr);

}  // namespace tinytl

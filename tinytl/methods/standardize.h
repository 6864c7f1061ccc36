// Weights that train behind a standardisation, as in TinyTL.
#pragma once

#include <vector>

#include "engine/graph/graph.h"

namespace tinytl {

// The network with a StandardizeWeight (epsilon 1e-5) in front of every convolution that has no
// bias, that a group norm follows, and whose weight is one of `trained`: its gradient goes through
// the standardisation (Qiao et al. 2019; Cai et al., TinyTL, NeurIPS 2020). Weights that are
// standardised already keep their values but for rounding. `ids`: the new id of every value.
Graph standardize_trained_weights(const Graph& graph, const std::vector<ValueId>& trained,
                                  std::vector<ValueId>* new_ids);

}  // namespace tinytl

// Chains of convolutions (q_conv_chain.cc).
#pragma once

#include "engine/ops/op.h"

namespace tinytl {

// Products of weights and numbers of the input in a QConvChain.
int64_t chain_products(const Graph& graph, const Node& node);

inline constexpr size_t kMostChained = 16;  // layers of one node

}  // namespace tinytl

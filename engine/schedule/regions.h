// Parts of a network that can run in pieces, so that the large tensors inside them never exist as
// a whole.
#pragma once

#include "engine/graph/graph.h"

namespace tinytl {

enum class Cut : uint8_t {
  // A convolution, channel by channel operators, and a 1x1 convolution (the inverted bottleneck of
  // Sandler et al., CVPR 2018): a piece is a group of the channels in between, and the last
  // convolution adds up. Nothing is computed twice.
  kChannels,
  // Convolutions and maps from the input of the network on: a piece is a strip of rows of the
  // result. The rows around a strip that its convolutions read are computed twice (Lin et al.,
  // MCUNetV2, NeurIPS 2021).
  kRows,
};

// A chain: each node reads the one before it and nothing else that a node wrote, and nobody else
// reads what is between them.
struct Region {
  Cut cut = Cut::kChannels;
  std::vector<NodeId> nodes;
  int64_t extent = 0;  // channels, or rows of the result: the most pieces there can be
};

// All of them, in order of their first node; they may overlap. Chains of rows are offered up to
// each node whose result is smaller than the largest tensor before it. O(nodes).
std::vector<Region> find_regions(const Graph& graph);

}  // namespace tinytl

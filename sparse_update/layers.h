// The convolutions of a network, numbered as the authors of MCUNetV3 do.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "engine/graph/graph.h"

namespace tinytl {

// A convolution, general or depthwise, but for the classifier.
struct Convolution {
  NodeId node;
  ValueId weight;               // the parameter, also where a node standardises it first
  std::optional<ValueId> bias;  // some have none
};

// In the order of the network, the first at the input; its place in the list is its number.
// `classifier`: the parameters that always train. Those whose weight is no parameter are left out.
std::vector<Convolution> convolutions(const Graph& graph, std::span<const ValueId> classifier);

}  // namespace tinytl

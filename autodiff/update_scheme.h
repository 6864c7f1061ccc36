// Which parameters train. Methods produce one (tinytl/methods); only autodiff reads it.
#pragma once

#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace tinytl {

// Parameters that share a learning rate.
enum class Group : uint8_t {
  kHead,      // the classifier
  kBackbone,  // pretrained
  kLite,      // lite residual modules, which start at random
};

struct TrainedParameter {
  ValueId parameter;
  Group group = Group::kBackbone;
  // Of a layer's weight: the input channels that train, ascending (engine/ops/weight_channels.h);
  // all where empty. Of no other parameter.
  std::vector<int64_t> channels = {};
};

struct UpdateScheme {
  std::vector<TrainedParameter> parameters;
};

}  // namespace tinytl

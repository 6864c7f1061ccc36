// Weights of mean 0 and deviation 1 in front of group norms.
#pragma once

#include "engine/onnx/builder.h"

namespace tinytl::internal {

// Where `value` is what a convolution without bias computed: standardises its weights, once, as
// StandardizeWeight does (Qiao et al. 2019; epsilon 1e-5). A layer with weights that are not read
// (ImportOptions::without_values) is left as it is. O(weights).
void standardize_layer(Builder& builder, ValueId value);

}  // namespace tinytl::internal

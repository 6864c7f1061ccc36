// From a scheme file to the parameters, and the channels of them, that train in a network.
#pragma once

#include <span>

#include "autodiff/update_scheme.h"
#include "sparse_update/scheme_file.h"

namespace tinytl {

// What `scheme` names in `graph`, a forward graph with the values that training starts from, and
// the parameters of `classifier` whole, as group kHead. In the order of their ids.
//
// A bias may be named twice, a weight once. Throws InputError that names the file, the entry and
// how to mend it: where an entry names nothing, or nothing that other entries do not; a number is
// out of range; a weight is named twice, is of no layer, or is one through which no gradient
// passes; or nothing trains.
UpdateScheme resolve(const SchemeFile& scheme, const Graph& graph,
                     std::span<const ValueId> classifier);

// The `count` channels of a layer's f32 weight (engine/ops/weight_channels.h) with the largest L2
// norm, ascending; of equal ones the first. O(elements).
std::vector<int64_t> largest_channels(const Tensor& weight, int64_t count);

// How many of `channels` a part of them is: floor(part x channels), at least 1 unless it is 0.
int64_t count_of_part(double part, int64_t channels);

}  // namespace tinytl

// What a convolution's attributes must fulfil before `conv2d_shape` may divide by them.
#pragma once

#include <algorithm>

#include "engine/ops/op_helpers.h"

namespace tinytl {

inline void check_conv2d_attributes(const Node& node, InputTypes in) {
  const auto strides = node.attributes.integers("strides");
  const auto pads = node.attributes.integers("pads");
  const auto dilations = node.attributes.integers("dilations");
  check(strides.size() == 2 && pads.size() == 4 && dilations.size() == 2, node, in,
        "needs 2 strides, 4 pads and 2 dilations");
  const auto least = [](std::span<const int64_t> list) { return *std::ranges::min_element(list); };
  check(least(strides) > 0 && least(dilations) > 0 && least(pads) >= 0, node, in,
        "strides and dilations must be positive, pads not negative");
}

}  // namespace tinytl

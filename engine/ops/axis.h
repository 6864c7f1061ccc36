// A tensor seen as [outer, size, inner], size being the dimension an operator works along.
#pragma once

#include "engine/ops/op_helpers.h"

namespace tinytl {

struct AxisView {
  int64_t outer = 1, size = 1, inner = 1;
};

// The dimensions [first, last) are merged into `size`.
inline AxisView axes_view(const Shape& shape, size_t first, size_t last) {
  AxisView view;
  for (size_t d = 0; d < shape.size(); ++d) {
    (d < first ? view.outer : d < last ? view.size : view.inner) *= shape[d];
  }
  return view;
}

// The attribute "axis", which must have passed `check_axis`.
inline size_t axis_of(const Node& node) {
  return static_cast<size_t>(node.attributes.integer("axis"));
}

inline AxisView axis_view(const Node& node, const Shape& shape) {
  return axes_view(shape, axis_of(node), axis_of(node) + 1);
}

inline void check_axis(const Node& node, InputTypes in) {
  const int64_t axis = node.attributes.integer("axis");
  check(!in.empty() && axis >= 0 && axis < static_cast<int64_t>(in[0].rank()), node, in,
        "has no dimension " + std::to_string(axis));
}

}  // namespace tinytl

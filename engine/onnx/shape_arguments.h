// What the shape operators of ONNX are told to do, whichever opset said it how: as an attribute or
// as a constant input. Used for tensors (translate) and for constants (fold).
#pragma once

#include <optional>

#include "engine/onnx/literal.h"
#include "engine/onnx/onnx_node.h"

namespace tinytl::internal {

// One per input of the node; null where the input is absent or not a constant.
using Literals = std::vector<LiteralPtr>;

// The list `attribute`, or input `i` where newer opsets have it; empty optional where neither is
// given. Throws Unsupported for an input that is not a constant.
std::optional<std::vector<int64_t>> list_argument(const OnnxNode& node, const Literals& literals,
                                                  std::string_view attribute, size_t i);
std::optional<float> number_argument(const OnnxNode& node, const Literals& literals,
                                     std::string_view attribute, size_t i);

// Counts from the back where negative. Throws Unsupported where it is outside [0, rank).
int64_t normal_axis(int64_t axis, size_t rank);
std::vector<int64_t> normal_axes(std::vector<int64_t> axes, size_t rank);  // sorted, no repeats

// The shape a Reshape, Flatten, Squeeze or Unsqueeze gives a tensor of shape `in`.
Shape reshape_target(const OnnxNode& node, const Shape& in, const std::vector<int64_t>& target);
Shape reshaped_shape(const OnnxNode& node, const Shape& in, const Literals& literals);

// Slice, for every dimension. Element i of the result is element start + i * step.
struct SliceRange {
  std::vector<int64_t> starts, sizes, steps;
};
SliceRange slice_range(const OnnxNode& node, const Shape& in, const Literals& literals);

std::vector<int64_t> split_sizes(const OnnxNode& node, int64_t extent, const Literals& literals);

// NumPy broadcasting. Throws Unsupported where the shapes do not fit.
Shape broadcast_of(const Shape& a, const Shape& b);

}  // namespace tinytl::internal

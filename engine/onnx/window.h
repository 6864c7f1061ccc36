// The sliding windows of convolutions and poolings.
#pragma once

#include "engine/onnx/builder.h"

namespace tinytl::internal {

// Height and width; a 1-D window is one of height 1.
struct Window {
  std::vector<int64_t> kernel, strides, dilations;
  std::vector<int64_t> pads;  // top, left, bottom, right
};

// The window of a Conv or a pooling over a tensor of shape `in` (the file's order). `kernel` is
// used where the node does not name one. Resolves auto_pad.
Window window_of(const OnnxNode& node, const Shape& in, const Shape& kernel);

// A tensor [N,C,L] or [N,C,H,W] of the file as a value [N,1,L,C] or [N,H,W,C].
ValueId spatial_value(Builder& builder, const Operand& operand);
// Defines output 0 from such a value; `rank` is that of the file's tensor.
void spatial_result(Builder& builder, const OnnxNode& node, ValueId value, size_t rank);

// Where `value` is a zero-padded tensor: the tensor before padding, its pads added to the window.
ValueId absorb_pad(Builder& builder, ValueId value, Window& window);

}  // namespace tinytl::internal

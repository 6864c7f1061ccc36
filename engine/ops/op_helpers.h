// Small pieces several operators share.
#pragma once

#include "engine/ops/op.h"

namespace tinytl {

// How a convolution's kernel moves over its input.
struct Window {
  std::span<const int64_t> strides, pads, dilations;  // 2, 4, 2
  int64_t groups;                                     // not of a depthwise convolution
};
// The convolution of an input with a weight ([kh,kw,ci/groups,co], or [kh,kw,c] where `depthwise`).
tt_conv2d_shape conv2d_shape(const Window& window, const Shape& x, const Shape& w, bool depthwise);
// The same, described by a node's attributes.
tt_conv2d_shape conv2d_shape(const Node& node, const Shape& x, const Shape& w, bool depthwise);

// The gradient rule of y = conv(x, w) + b, by the operators (dy, w) -> dx and (x, dy) -> dw.
void conv2d_vjp(GradBuilder& grad, const OpDef& grad_input, const OpDef& grad_weight);

// The end of a layer or of a gradient, in the attributes of its node (made by
// engine/schedule/fuse_layers):
//   low, high          the result is limited to [low, high]
//   mask = 1           output 1 is the bit mask low < y < high
//   keep = 1           the last input says where the result is not 0: a bit mask, or the values of
//                      which low < value < high must hold (then low and high limit nothing else)
// With masks the last dimension is a multiple of 8.
bool has_keep(const Node& node);
inline bool has_clip(const Node& node) { return node.attributes.has("low") && !has_keep(node); }
// Whether its result is changed before it is written.
inline bool has_epilogue(const Node& node) { return node.attributes.has("low") || has_keep(node); }
// The inputs that an operator has for itself, without that of keep.
size_t own_inputs(const Node& node, InputTypes in);
// `y`, and the mask where the node writes one. Checks the attributes.
OutputTypes with_mask(const Node& node, InputTypes in, TensorType y);
// `bias_input`: where the node has one.
tt_epilogue epilogue_of(const Node& node, const KernelArgs& t, size_t bias_input = SIZE_MAX);
// Of the result from element `from` on, the first of which is of channel `channel`. `from` is a
// multiple of 8 where there are masks.
tt_epilogue shifted(const tt_epilogue& epilogue, int64_t from, int64_t channel = 0);
// The gradient in front of the clip of grad.node(), if it has one.
ValueId dy_of_layer(GradBuilder& grad);
// Those channels of x, the last dimension; x itself where the list is empty. Made of a value of the
// forward pass as soon as that exists, and kept instead of it.
ValueId gathered(GradBuilder& grad, ValueId x, std::span<const int64_t> channels);
// Of x, all that those input channels of a weight stand for: those of every group, of
// `group_channels` each.
std::vector<int64_t> channels_of_groups(std::span<const int64_t> channels, int64_t groups,
                                        int64_t group_channels);
// The attributes of a layer without those of its end.
Attributes without_epilogue(const Attributes& attributes);

// rows x columns of a tensor whose last dimension is the column.
int64_t rows_of(const TensorType& type);
inline int64_t columns_of(const TensorType& type) { return type.shape.back(); }

// The common shape of two operands under NumPy broadcasting; empty optional where there is none.
std::optional<Shape> broadcast_shape(const Shape& a, const Shape& b);

}  // namespace tinytl

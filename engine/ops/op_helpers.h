// Small pieces several operators share.
#pragma once

#include "engine/ops/op.h"

namespace tinytl {

// The convolution described by a node's attributes, its input and its weight
// ([kh,kw,ci/groups,co], or [kh,kw,c] where `depthwise`).
tt_conv2d_shape conv2d_shape(const Node& node, const Shape& x, const Shape& w, bool depthwise);

// The gradient rule of y = conv(x, w) + b, by the operators (dy, w) -> dx and (x, dy) -> dw.
void conv2d_vjp(GradBuilder& grad, const OpDef& grad_input, const OpDef& grad_weight);

// rows x columns of a tensor whose last dimension is the column.
int64_t rows_of(const TensorType& type);
inline int64_t columns_of(const TensorType& type) { return type.shape.back(); }

// The common shape of two operands under NumPy broadcasting; empty optional where there is none.
std::optional<Shape> broadcast_shape(const Shape& a, const Shape& b);

}  // namespace tinytl

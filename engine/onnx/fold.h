// Evaluates nodes whose inputs are all constants: the shape arithmetic of exporters, and weights
// that are stored quantized, transposed or in parts.
#pragma once

#include <map>

#include "engine/onnx/shape_arguments.h"

namespace tinytl::internal {

// The outputs of the node, or an empty optional where the evaluator does not know the operator.
// Throws Unsupported or InputError where it does and the inputs do not fit.
std::optional<Literals> fold(const OnnxNode& node, Literals inputs);

using Fold = LiteralPtr (*)(const OnnxNode&, const Literals&);
using FoldTable = std::map<std::string_view, Fold>;

// The operators that move, cut or join (fold_shapes.cc).
void add_shape_folds(FoldTable& table);
Literals fold_split(const OnnxNode& node, const Literals& inputs);
// The operators on numbers, one element at a time (fold_arithmetic.cc).
std::optional<LiteralPtr> fold_arithmetic(const OnnxNode& node, const Literals& inputs);
// QuantizeLinear and DequantizeLinear (fold_quantize.cc).
LiteralPtr fold_dequantize(const OnnxNode& node, const Literals& inputs);
LiteralPtr fold_quantize(const OnnxNode& node, const Literals& inputs);

// Input 0, which must be a constant.
const Literal& first_of(const Literals& inputs);
// The literal as all-float, or as all-integer of one type.
LiteralPtr unified(const LiteralPtr& literal, ElementType type);

// Element i of the result (in row order of `shape`) is element offset + sum of index * stride.
LiteralPtr strided(const Literal& from, const Shape& shape, int64_t offset, const Shape& strides);

}  // namespace tinytl::internal

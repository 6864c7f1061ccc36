// How each ONNX operator becomes operators of the Graph. One function an operator.
#pragma once

#include <limits>
#include <map>

#include "engine/onnx/builder.h"
#include "engine/ops/op_table.h"

namespace tinytl::internal {

// Translates the node: reads its operands from the builder and defines its outputs there.
// Throws Unsupported (or InputError, from a shape rule) where it cannot.
using Rule = void (*)(Builder&, const OnnxNode&);
using RuleTable = std::map<std::string_view, Rule>;

void add_convolution_rules(RuleTable& rules);
void add_matrix_rules(RuleTable& rules);
void add_arithmetic_rules(RuleTable& rules);
void add_activation_rules(RuleTable& rules);
void add_shape_rules(RuleTable& rules);
void add_normalization_rules(RuleTable& rules);

// Defines output 0 as `operand`, which is input i or a view of it.
void define_alias(Builder& builder, const OnnxNode& node, Operand operand, size_t i = 0);

// y = op(x), one element at a time: any order of dimensions will do.
void translate_map(Builder& builder, const OnnxNode& node, const OpDef& op,
                   Attributes attributes = {});

// Where the tensor is what a convolution or matrix product computed and nothing else reads:
// y = scale * y + shift, one of each per channel, is done to its weights and bias instead.
// `channel` is the channel dimension in the file's order. An empty scale means 1.
struct Affine {
  std::vector<float> scale, shift;
  std::string bias_name;  // where a bias has to be made
};
bool fold_affine(Builder& builder, const Operand& operand, int64_t channel, const Affine& affine);

}  // namespace tinytl::internal

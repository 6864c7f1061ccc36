// The Graph under construction, and what each tensor of the ONNX file has become in it.
//
// Transposes are lazy. Every ONNX tensor is a value of the Graph together with the order in which
// the value stores its dimensions; a rule asks for the order it needs, and only then, and only if
// bytes really move, a Transpose is emitted.
#pragma once

#include <functional>
#include <map>
#include <set>

#include "engine/onnx/import.h"
#include "engine/onnx/layout.h"
#include "engine/onnx/literal.h"
#include "engine/onnx/onnx_node.h"
#include "engine/onnx/shape_arguments.h"

namespace tinytl::internal {

// A tensor [N, ...] that the file flattened to [N, K] but that is stored in `order` of its old
// dimensions: a matrix product permutes the rows of its weights instead (Builder::logical undoes
// it).
struct Flattened {
  Shape shape;
  Order order;
};

struct Operand {
  std::string tensor;  // its name in the file
  LiteralPtr literal;  // a constant; or else
  ValueId value{};     // a value of the graph,
  Order order;         // stored in this order
  std::optional<Flattened> flattened;
  std::string parameter;   // the initializer it is, "" where it is none
  bool exclusive = true;   // nothing but this tensor needs `value`
  bool quantized = false;  // stands for the integers a QuantizeLinear made of `value`
};

// A constant of shape `from` (its own, or another of as many elements), its dimensions put in
// `order`, then seen as shape `to`.
struct Arrangement {
  Shape from;
  Order order;
  Shape to;
};

struct Batch {
  int64_t in_file = 1, now = 1;
};

// Height of the input images.
struct Resolution {
  int64_t in_file = 1, now = 1;
};

class Builder {
 public:
  Graph graph;
  Batch batch;
  Resolution resolution;
  std::set<std::string> without_values;  // ImportOptions
  PackedParameters packed;               // ImportOptions
  Norms norms = Norms::kFolded;          // ImportOptions
  int64_t norms_made = 0;                // for BatchNormalization nodes, where they are not folded
  std::set<ValueId> standardized;        // weights
  Precision precision = Precision::kFloat;  // ImportOptions
  // Of f32 biases that the file has as integers.
  std::map<ValueId, std::shared_ptr<const Levels>> bias_levels;

  // Names of the nodes emitted from now on.
  void start(const OnnxNode& node) { node_name_ = node.name(); }
  void count_use(const std::string& tensor) { ++uses_[tensor]; }

  void define(std::string tensor, Operand operand);
  void define_constant(const std::string& tensor, LiteralPtr literal, std::string parameter = "");
  const Operand* find(const std::string& tensor) const;
  void forget(const std::string& tensor) { operands_.erase(tensor); }

  // Inputs of a node. Throw Unsupported where the file left the input out.
  const Operand& input(const OnnxNode& node, size_t i) const;
  LiteralPtr constant_input(const OnnxNode& node, size_t i, const char* what) const;
  Literals literals(const OnnxNode& node) const;
  bool is_only_reader(const OnnxNode& node, size_t i) const;
  // Defines output 0.
  void result(const OnnxNode& node, ValueId value, Order order);
  void result(const OnnxNode& node, ValueId value);  // in the file's order

  Shape shape_of(const Operand& operand) const;
  const TensorType& type(ValueId value) const { return graph.value(value).type; }
  // The node that writes `value` if it is an `op`, or null.
  const Node* producer(ValueId value, const OpDef& op) const;

  // The operand as a value stored in the given order, or in the file's own.
  ValueId stored(const Operand& operand, const Order& order);
  ValueId logical(const Operand& operand);
  // The operand as a value in whatever order; constants become values, flattening is undone.
  Operand plain(const Operand& operand);
  Operand reshaped(const Operand& operand, const Shape& shape);

  ValueId emit(const OpDef& op, std::vector<ValueId> inputs, Attributes attributes = {});
  ValueId view(ValueId value, const Shape& shape);

  // A parameter or constant made from a literal. Named after the initializer, or "<node>.<suffix>".
  // Made once for each role and arrangement.
  ValueId parameter(const Operand& operand, Role role, const Arrangement& arrangement,
                    const std::string& suffix);
  // The same as kQ8, its levels as they are in the file; empty where that does not have them as 8
  // bits and a scale for each entry of dimension 0.
  std::optional<ValueId> quantized_weight(const Operand& operand, const Arrangement& arrangement);
  ValueId new_parameter(std::string name, Role role, Shape shape, std::span<const float> values);
  // The numbers of a parameter, for a rule that changes them.
  std::span<float> numbers_of(ValueId parameter);
  // Packs what was read since the last call. A rule changes the weights of the layer before it, so
  // this waits for the weights of the next one.
  void pack_weights();
  const std::string& node_name() const { return node_name_; }
  // Whether another node of the file may use the same parameter.
  bool is_shared(ValueId parameter) const { return shared_.contains(parameter); }

 private:
  ValueId transposed(ValueId value, const Order& permutation);
  ValueId unflattened(const Operand& operand);

  std::string node_name_;
  std::map<std::string, Operand> operands_;
  std::map<std::string, int> uses_;
  std::map<std::string, ValueId> made_;  // transposes and parameters that exist already
  std::set<std::string> names_;          // of parameters
  std::set<ValueId> shared_;
  std::vector<ValueId> to_pack_;
};

}  // namespace tinytl::internal

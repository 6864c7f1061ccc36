// The intermediate representation: a static single-assignment graph of values and nodes.
//
// Values and nodes are plain structs in two vectors and refer to each other by id. Nodes stand in a
// valid execution order (every input is written by an earlier node). One kind of exception to
// single assignment: an update node overwrites a parameter or a state, and a norm its running
// statistics (OpDef::mutates).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/graph/attributes.h"
#include "engine/graph/error.h"
#include "engine/graph/tensor.h"

namespace tinytl {

struct OpDef;  // engine/ops/op.h

enum class ValueId : uint32_t {};
enum class NodeId : uint32_t {};
inline constexpr NodeId kNoNode{UINT32_MAX};
inline constexpr size_t index(ValueId id) { return static_cast<size_t>(id); }
inline constexpr size_t index(NodeId id) { return static_cast<size_t>(id); }

enum class Role : uint8_t {
  kInput,      // written by the caller before every step: images, labels, learning rates
  kWeight,     // parameter: multiplies (convolution and matrix weights, scales of norms)
  kBias,       // parameter: is added (biases, shifts of norms)
  kConstant,   // fixed numbers that are part of the network's formula; no scheme trains them
  kStatistic,  // running mean or variance of a norm: part of the network, moved by the forward pass
  kState,      // survives from step to step: optimizer state, gradient accumulators
  kActivation,  // written by a node: activations, gradients, masks
};
inline constexpr bool is_parameter(Role role) {
  return role == Role::kWeight || role == Role::kBias;
}
// Kept outside the arena, in Value::data.
inline constexpr bool is_persistent(Role role) {
  return is_parameter(role) || role == Role::kConstant || role == Role::kStatistic ||
         role == Role::kState;
}

enum class Phase : uint8_t {
  kForward,
  kRecompute,  // a node of the forward pass once more, because the backward pass reads its result
  kBackward,
  kUpdate
};

struct Value {
  std::string name;  // unique for parameters and state; informative for activations
  TensorType type;
  Role role = Role::kActivation;
  NodeId producer = kNoNode;
  std::shared_ptr<Tensor> data =
      nullptr;  // parameters, constants and statistics; state once an Executor exists
  bool channels_last = false;  // an input that the model file has as [N,C,H,W], stored [N,H,W,C]
};

struct Node {
  std::string name;  // of the ONNX node it came from, or of the node whose gradient it computes
  const OpDef* op = nullptr;
  std::vector<ValueId> inputs;
  std::vector<ValueId> outputs;
  Attributes attributes;
  Phase phase = Phase::kForward;

  ValueId input(size_t i) const { return inputs.at(i); }
  ValueId output(size_t i = 0) const { return outputs.at(i); }
};

class Graph {
 public:
  ValueId add_input(std::string name, TensorType type, bool channels_last = false);
  ValueId add_persistent(std::string name, Role role, std::shared_ptr<Tensor> data);
  ValueId add_state(std::string name, TensorType type);
  // Appends a node whose outputs have the given types. `emit` in ops/op.h infers the types.
  NodeId append(Node node, std::span<const TensorType> output_types);

  // Keeps the nodes of `order` only, and in that order. Node ids change; what the others wrote
  // stays as values without a producer, which nobody may read.
  void keep_nodes(std::span<const NodeId> order);

  std::span<const Value> values() const { return values_; }
  std::span<const Node> nodes() const { return nodes_; }
  const Value& value(ValueId id) const { return values_.at(index(id)); }
  Value& value(ValueId id) { return values_.at(index(id)); }
  const Node& node(NodeId id) const { return nodes_.at(index(id)); }
  Node& node(NodeId id) { return nodes_.at(index(id)); }

  // The first value of that name, or null.
  const Value* find(std::string_view name) const;
  ValueId id_of(std::string_view name) const;  // throws InputError where there is none

  std::vector<ValueId> inputs;   // in the order of the model file, then those added later
  std::vector<ValueId> outputs;  // still readable after a step

  std::string source;  // the file it came from, for messages

 private:
  std::vector<Value> values_;
  std::vector<Node> nodes_;
};

std::vector<TensorType> types_of(const Graph& graph, std::span<const ValueId> ids);

// The nodes that read each value, in node order.
std::vector<std::vector<NodeId>> readers(const Graph& graph);

}  // namespace tinytl

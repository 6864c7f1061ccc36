#include "engine/graph/graph.h"

namespace tinytl {

ValueId Graph::add_input(std::string name, TensorType type, bool channels_last) {
  const ValueId id{static_cast<uint32_t>(values_.size())};
  values_.push_back({.name = std::move(name),
                     .type = std::move(type),
                     .role = Role::kInput,
                     .channels_last = channels_last});
  inputs.push_back(id);
  return id;
}

ValueId Graph::add_persistent(std::string name, Role role, std::shared_ptr<Tensor> data) {
  TT_ASSERT(is_persistent(role) && data != nullptr);
  const ValueId id{static_cast<uint32_t>(values_.size())};
  TensorType type = data->type();
  values_.push_back(
      {.name = std::move(name), .type = std::move(type), .role = role, .data = std::move(data)});
  return id;
}

ValueId Graph::add_state(std::string name, TensorType type) {
  const ValueId id{static_cast<uint32_t>(values_.size())};
  values_.push_back({.name = std::move(name), .type = std::move(type), .role = Role::kState});
  return id;
}

NodeId Graph::append(Node node, std::span<const TensorType> output_types) {
  const NodeId id{static_cast<uint32_t>(nodes_.size())};
  node.outputs.clear();
  for (const TensorType& type : output_types) {
    node.outputs.push_back(ValueId{static_cast<uint32_t>(values_.size())});
    values_.push_back({.name = node.name, .type = type, .role = Role::kActivation, .producer = id});
  }
  nodes_.push_back(std::move(node));
  return id;
}

void Graph::keep_nodes(std::span<const NodeId> order) {
  for (Value& value : values_) value.producer = kNoNode;
  std::vector<Node> kept;
  kept.reserve(order.size());
  for (const NodeId old : order) {
    const NodeId id{static_cast<uint32_t>(kept.size())};
    kept.push_back(std::move(node(old)));
    for (const ValueId output : kept.back().outputs) value(output).producer = id;
  }
  nodes_ = std::move(kept);
}

const Value* Graph::find(std::string_view name) const {
  for (const Value& value : values_) {
    if (value.name == name) return &value;
  }
  return nullptr;
}

ValueId Graph::id_of(std::string_view name) const {
  const Value* value = find(name);
  if (value == nullptr) {
    throw InputError(source + ": the network has no tensor named \"" + std::string(name) + "\"");
  }
  return ValueId{static_cast<uint32_t>(value - values_.data())};
}

std::vector<TensorType> types_of(const Graph& graph, std::span<const ValueId> ids) {
  std::vector<TensorType> types;
  types.reserve(ids.size());
  for (const ValueId id : ids) types.push_back(graph.value(id).type);
  return types;
}

std::vector<std::vector<NodeId>> readers(const Graph& graph) {
  std::vector<std::vector<NodeId>> result(graph.values().size());
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    for (const ValueId input : graph.nodes()[n].inputs) {
      auto& list = result[index(input)];
      const NodeId id{static_cast<uint32_t>(n)};
      if (list.empty() || list.back() != id) list.push_back(id);
    }
  }
  return result;
}

}  // namespace tinytl

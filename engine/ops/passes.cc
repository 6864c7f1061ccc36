#include "engine/ops/passes.h"

#include "engine/ops/op_table.h"

namespace tinytl {

Graph without_nodes(const Graph& graph, std::vector<ValueId>& ids, const std::vector<bool>& keep) {
  Graph result;
  result.source = graph.source;
  ids.assign(graph.values().size(), ValueId{UINT32_MAX});
  for (size_t v = 0; v < graph.values().size(); ++v) {
    const Value& value = graph.values()[v];
    if (value.role == Role::kActivation || (!keep.empty() && !keep[v])) continue;
    if (value.role == Role::kInput) {
      ids[v] = result.add_input(value.name, value.type, value.channels_last);
    } else if (value.data != nullptr) {
      ids[v] = result.add_persistent(value.name, value.role, value.data);
    } else {
      ids[v] = result.add_state(value.name, value.type);
    }
  }
  result.inputs.clear();
  for (const ValueId id : graph.inputs) result.inputs.push_back(ids[index(id)]);
  return result;
}

Graph prune(const Graph& graph, std::vector<ValueId>* new_ids) {
  std::vector<bool> live(graph.values().size(), false);
  for (const ValueId id : graph.outputs) live[index(id)] = true;
  for (const ValueId id : graph.inputs) live[index(id)] = true;
  std::vector<bool> keep(graph.nodes().size(), false);
  for (size_t n = graph.nodes().size(); n-- > 0;) {
    const Node& node = graph.nodes()[n];
    keep[n] = node.op->mutates != 0;
    for (const ValueId id : node.outputs) keep[n] = keep[n] || live[index(id)];
    if (!keep[n]) continue;
    for (const ValueId id : node.inputs) live[index(id)] = true;
  }

  std::vector<ValueId> ids;
  Graph result = without_nodes(graph, ids, live);
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    if (!keep[n]) continue;
    Node node = graph.nodes()[n];
    for (ValueId& id : node.inputs) id = ids[index(id)];
    std::vector<TensorType> types = types_of(graph, graph.nodes()[n].outputs);
    const NodeId added = result.append(std::move(node), types);
    for (size_t j = 0; j < types.size(); ++j) {
      const ValueId old = graph.nodes()[n].outputs[j];
      ids[index(old)] = result.node(added).outputs[j];
      result.value(ids[index(old)]).name = graph.value(old).name;
    }
  }
  for (const ValueId id : graph.outputs) result.outputs.push_back(ids[index(id)]);
  if (new_ids != nullptr) *new_ids = std::move(ids);
  return result;
}

void verify(const Graph& graph) {
  std::vector<bool> written(graph.values().size(), false);
  for (size_t v = 0; v < graph.values().size(); ++v) {
    const Value& value = graph.values()[v];
    written[v] = value.role != Role::kActivation;
    if (value.producer != kNoNode) TT_ASSERT(value.role == Role::kActivation);
    if (value.data != nullptr) TT_ASSERT(value.data->type() == value.type);
    for (const int64_t d : value.type.shape) TT_ASSERT(d > 0);
  }
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    TT_ASSERT(node.op != nullptr);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      TT_ASSERT(written.at(index(node.inputs[i])));
      if ((node.op->mutates >> i & 1) != 0) {
        const Role role = graph.value(node.inputs[i]).role;
        TT_ASSERT(is_parameter(role) || role == Role::kStatistic || role == Role::kState);
      }
    }
    const OutputTypes types = node.op->infer(node, types_of(graph, node.inputs));
    TT_ASSERT(types.size() == node.outputs.size());
    for (size_t j = 0; j < types.size(); ++j) {
      const Value& value = graph.value(node.outputs[j]);
      TT_ASSERT(value.producer == NodeId{static_cast<uint32_t>(n)});
      TT_ASSERT(value.type == types[j]);
      TT_ASSERT(!written[index(node.outputs[j])]);
      written[index(node.outputs[j])] = true;
    }
  }
  for (const ValueId id : graph.outputs) TT_ASSERT(written.at(index(id)));
}

bool condenses_forward_values(const Graph& graph, const Node& node) {
  if (node.phase != Phase::kBackward || node.op->mutates != 0) return false;
  size_t read = 0, written = 0;
  for (const ValueId id : node.inputs) {
    const Value& value = graph.value(id);
    if (value.producer == kNoNode || graph.node(value.producer).phase != Phase::kForward) {
      return false;
    }
    read += value.type.bytes();
  }
  for (const ValueId id : node.outputs) written += graph.value(id).type.bytes();
  return written < read;
}

void decode_tables(Graph& graph) {
  std::vector<NodeId> order;
  const size_t nodes = graph.nodes().size();
  for (size_t n = 0; n < nodes; ++n) {
    const NodeId id{static_cast<uint32_t>(n)};
    for (size_t i = 0; i < graph.node(id).inputs.size(); ++i) {
      const ValueId stored = graph.node(id).inputs[i];
      if (graph.value(stored).type.dtype != DType::kTable8) continue;
      const ValueId decoded =
          emit(graph, kDecodeTable, graph.value(stored).name, {stored}, {}, graph.node(id).phase);
      graph.node(id).inputs[i] = decoded;
      order.push_back(graph.value(decoded).producer);
    }
    order.push_back(id);
  }
  if (order.size() > nodes) graph.keep_nodes(order);
}

std::string to_string(const Graph& graph) {
  const auto text_of = [&](ValueId id) {
    const Value& value = graph.value(id);
    return value.role == Role::kActivation ? "%" + std::to_string(index(id)) : value.name;
  };
  std::string text;
  for (const Node& node : graph.nodes()) {
    for (size_t j = 0; j < node.outputs.size(); ++j) {
      text += (j > 0 ? ", " : "") + text_of(node.outputs[j]);
    }
    text += (node.outputs.empty() ? "" : " = ") + std::string(node.op->name) + "(";
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      text += (i > 0 ? ", " : "") + text_of(node.inputs[i]);
    }
    text += ")";
    if (!node.outputs.empty()) text += " " + to_string(graph.value(node.outputs[0]).type);
    text += "  # " + node.name + "\n";
  }
  return text;
}

}  // namespace tinytl

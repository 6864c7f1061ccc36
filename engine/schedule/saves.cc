#include "engine/schedule/saves.h"

#include <algorithm>

#include "engine/ops/passes.h"

namespace tinytl {

Saves::Saves(const Graph& graph) : graph_(graph) {
  root_.resize(graph.values().size());
  condenses_.resize(graph.nodes().size());
  for (size_t v = 0; v < root_.size(); ++v) root_[v] = ValueId{static_cast<uint32_t>(v)};
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    condenses_[n] = condenses_forward_values(graph, node);
    if (view_offset(graph, node)) root_[index(node.output())] = root(node.input(0));
  }
}

Saves::Set Saves::set_of(std::span<const ValueId> values) const {
  Set set(root_.size(), false);
  for (const ValueId id : values) set[index(root(id))] = true;
  return set;
}

bool Saves::is_late(NodeId id, const Set& dropped) const {
  if (is_forward(id)) return false;
  const Node& node = graph_.node(id);
  return !condenses(id) || std::ranges::any_of(node.inputs, [&](ValueId input) {
    return dropped[index(root(input))];
  });
}

Saves::Set Saves::kept(const Set& dropped) const {
  Set kept(root_.size(), false);
  for (size_t v = 0; v < kept.size(); ++v) {
    const NodeId producer = graph_.values()[v].producer;
    // What a node that overwrites something has left cannot be had again.
    kept[v] = producer == kNoNode || graph_.node(producer).op->mutates != 0;
  }
  for (const ValueId id : graph_.outputs) kept[index(root(id))] = true;
  for (size_t n = 0; n < graph_.nodes().size(); ++n) {
    if (!is_late(NodeId(n), dropped)) continue;
    for (const ValueId id : graph_.nodes()[n].inputs) {
      if (!dropped[index(root(id))]) kept[index(root(id))] = true;
    }
  }
  return kept;
}

std::vector<NodeId> Saves::to_repeat(const Set& dropped) const {
  const Set kept = this->kept(dropped);
  std::vector<bool> repeat(graph_.nodes().size(), false);
  const auto need = [&](ValueId id) {
    const NodeId producer = graph_.value(id).producer;
    if (!kept[index(root(id))] && is_forward(producer)) repeat[index(producer)] = true;
  };
  for (size_t n = repeat.size(); n-- > 0;) {
    if (!repeat[n] && !is_late(NodeId(n), dropped)) continue;
    for (const ValueId id : graph_.nodes()[n].inputs) need(id);
  }
  std::vector<NodeId> result;
  for (size_t n = 0; n < repeat.size(); ++n) {
    if (repeat[n]) result.push_back(NodeId(n));
  }
  return result;
}

std::vector<ValueId> Saves::droppable() const {
  const Set nothing(root_.size(), false);
  std::vector<bool> read(root_.size(), false);
  for (size_t n = 0; n < graph_.nodes().size(); ++n) {
    if (is_forward(NodeId(n))) continue;
    for (const ValueId id : graph_.nodes()[n].inputs) read[index(root(id))] = true;
  }
  for (const ValueId id : graph_.outputs) read[index(root(id))] = false;
  std::vector<ValueId> result;
  for (size_t v = 0; v < read.size(); ++v) {
    const NodeId producer = graph_.values()[v].producer;
    if (!read[v] || producer == kNoNode || !is_forward(producer)) continue;
    if (graph_.node(producer).op->mutates == 0) result.push_back(ValueId(v));
  }
  return result;
}

size_t Saves::kept_bytes(const Set& dropped) const {
  std::vector<bool> waits(root_.size(), false);
  const Set kept = this->kept(dropped);
  const auto read = [&](const Node& node) {
    for (const ValueId id : node.inputs) {
      if (kept[index(root(id))]) waits[index(root(id))] = true;
    }
  };
  for (const NodeId id : to_repeat(dropped)) read(graph_.node(id));
  for (size_t n = 0; n < graph_.nodes().size(); ++n) {
    if (is_late(NodeId(n), dropped)) read(graph_.nodes()[n]);
  }
  size_t bytes = 0;
  for (size_t v = 0; v < waits.size(); ++v) {
    const Value& value = graph_.values()[v];
    const bool is_of_forward_pass =
        value.role == Role::kInput ||
        (value.producer != kNoNode &&
         (is_forward(value.producer) ||
          (condenses(value.producer) && !is_late(value.producer, dropped))));
    if (waits[v] && is_of_forward_pass) bytes += value.type.bytes();
  }
  return bytes;
}

int64_t Saves::freed_bytes(const Set& dropped) const {
  const Set nothing(root_.size(), false);
  return static_cast<int64_t>(kept_bytes(nothing)) - static_cast<int64_t>(kept_bytes(dropped));
}

}  // namespace tinytl

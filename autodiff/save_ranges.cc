#include "autodiff/save_ranges.h"

#include <algorithm>
#include <map>

#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"

namespace tinytl {
namespace {

class Rewrite {
 public:
  Rewrite(Graph& graph, int bits) : graph_(graph), bits_(bits), readers_(readers(graph)) {}

  void run() {
    const size_t nodes = graph_.nodes().size();
    std::vector<bool> coded(graph_.values().size());
    for (size_t v = 0; v < coded.size(); ++v)
      coded[v] = is_worth_it(ValueId{static_cast<uint32_t>(v)});
    for (size_t n = 0; n < nodes; ++n) {
      const NodeId id{static_cast<uint32_t>(n)};
      const size_t inputs = keeps_inputs(id) ? graph_.node(id).inputs.size() : 0;
      for (size_t i = 0; i < inputs; ++i) {
        const ValueId x = graph_.node(id).inputs[i];
        if (index(x) < coded.size() && coded[index(x)]) read_less(id, i);
      }
      order_.push_back(id);
    }
    if (order_.size() > nodes) graph_.keep_nodes(order_);
  }

 private:
  // A node that runs behind the forward pass.
  bool keeps_inputs(NodeId id) const {
    const Node& node = graph_.node(id);
    return node.phase == Phase::kBackward && !condenses_forward_values(graph_, node);
  }

  bool is_clip_grad(NodeId id, ValueId y) const {
    const Node& node = graph_.node(id);
    return node.op == &kClipGrad && node.inputs[1] == y && node.inputs[0] != y;
  }

  int64_t bits_of(const TensorType& type) const { return type.shape.back() % 2 == 0 ? bits_ : 8; }

  bool is_worth_it(ValueId id) const {
    const Value& value = graph_.value(id);
    const bool is_forward =
        value.producer != kNoNode && graph_.node(value.producer).phase == Phase::kForward;
    if (!is_forward || value.type.dtype != DType::kF32 || value.type.rank() == 0) return false;
    if (std::ranges::find(graph_.outputs, id) != graph_.outputs.end()) return false;
    if (view_offset(graph_, graph_.node(value.producer)).has_value()) return false;
    bool is_read = false;
    size_t bytes = 0;
    for (const NodeId reader : readers_[index(id)]) {
      if (!keeps_inputs(reader)) continue;
      is_read = is_read || !is_clip_grad(reader, id);
      if (is_clip_grad(reader, id)) bytes = TensorType{DType::kBit, value.type.shape}.bytes();
    }
    const DType codes = bits_of(value.type) == 4 ? DType::kRange4 : DType::kRange8;
    return is_read && bytes + TensorType{codes, value.type.shape}.bytes() < value.type.bytes();
  }

  ValueId append(const OpDef& op, NodeId reader, ValueId x, Attributes attributes) {
    const ValueId y =
        emit(graph_, op, graph_.node(reader).name, {x}, std::move(attributes), Phase::kBackward);
    order_.push_back(graph_.value(y).producer);
    return y;
  }

  void read_less(NodeId reader, size_t input) {
    const ValueId x = graph_.node(reader).inputs[input];
    if (is_clip_grad(reader, x)) {
      const Attributes limits = graph_.node(reader).attributes;
      const ValueId mask = append(kClipMask, reader, x, limits);
      Node& node = graph_.node(reader);
      node.op = &kMaskApply;
      node.inputs[1] = mask;
      node.attributes = {};
      return;
    }
    if (!codes_.contains(x)) {
      codes_[x] = append(kRangeEncode, reader, x, {{"bits", bits_of(graph_.value(x).type)}});
    }
    const ValueId decoded = append(kRangeDecode, reader, codes_.at(x), {});
    graph_.node(reader).inputs[input] = decoded;
  }

  Graph& graph_;
  const int bits_;
  const std::vector<std::vector<NodeId>> readers_;
  std::map<ValueId, ValueId> codes_;
  std::vector<NodeId> order_;
};

}  // namespace

void save_in_ranges(Graph& graph, int bits) {
  TT_ASSERT(bits == 8 || bits == 4);
  Rewrite(graph, bits).run();
}

}  // namespace tinytl

#include "autodiff/gradient_codes.h"

#include <algorithm>

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"

namespace tinytl {
namespace {

class Rewrite {
 public:
  explicit Rewrite(GradientGraph& gradients)
      : graph_(gradients.graph),
        readers_(readers(graph_)),
        stays_(graph_.values().size(), false),
        placed_(graph_.nodes().size(), false) {
    for (const ValueId id : graph_.outputs) stays_[index(id)] = true;
    for (const ParameterGradient& p : gradients.gradients) stays_[index(p.gradient)] = true;
  }

  void run() {
    const auto nodes = static_cast<uint32_t>(graph_.nodes().size());
    for (uint32_t n = 0; n < nodes; ++n) {
      if (is_worth_it(NodeId{n})) hold(NodeId{n});
    }
    for (uint32_t n = 0; n < nodes; ++n) place(NodeId{n});
    graph_.keep_nodes(order_);
  }

 private:
  bool reads_row8(NodeId reader, ValueId id) const {
    const Node& node = graph_.node(reader);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.inputs[i] == id && (node.op->reads_row8 >> i & 1) == 0) return false;
    }
    const Shape& shape = graph_.value(id).type.shape;
    // These two read rows as a whole, or else are other operators.
    if (node.op == &kSumTo) return graph_.value(node.output()).type.shape == Shape{shape.back()};
    if (node.op == &kGather) return node.attributes.integer("axis") + 1 == int64_t(shape.size());
    if (node.op == &kAdd) return graph_.value(node.output()).type.shape == shape;
    return true;
  }

  // What broadcasts, by whole rows; what adds, without broadcasting.
  bool writes_rows(const Node& node) const {
    const Shape& shape = graph_.value(node.output()).type.shape;
    const auto input = [&](size_t i) -> const Shape& {
      return graph_.value(node.input(i)).type.shape;
    };
    if (node.op == &kBroadcastTo) return !input(0).empty() && input(0).back() == shape.back();
    return node.op != &kAdd || (input(0) == shape && input(1) == shape);
  }

  // Of output 0 of that node.
  bool is_worth_it(NodeId id) const {
    const Node& node = graph_.node(id);
    if (node.phase != Phase::kBackward || !node.op->writes_row8) return false;
    const ValueId result = node.output();
    const TensorType& type = graph_.value(result).type;
    if (stays_[index(result)] || type.dtype != DType::kF32 || type.rank() == 0) return false;
    if (!writes_rows(node)) return false;
    const std::vector<NodeId>& all = readers_[index(result)];
    return !all.empty() && TensorType{DType::kRow8, type.shape}.bytes() < type.bytes() &&
           std::ranges::all_of(all, [&](NodeId reader) { return reads_row8(reader, result); });
  }

  void hold(NodeId id) {
    Node& node = graph_.node(id);
    node.attributes.set("row8", int64_t{1});
    graph_.value(node.output()).type.dtype = DType::kRow8;
    if (node.op == &kMaskApply) mask_in_front(id);
  }

  // Makes a mask part of the node that computes what it is applied to.
  void mask_in_front(NodeId id) {
    const Node& node = graph_.node(id);
    const ValueId dx = node.input(0), mask = node.input(1);
    const NodeId producer = graph_.value(dx).producer, of_mask = graph_.value(mask).producer;
    if (producer == kNoNode || of_mask == kNoNode || readers_[index(dx)].size() != 1) return;
    Node& gradient = graph_.node(producer);
    const bool can_mask = gradient.op == &kConv2dGradInput || gradient.op == &kAdd ||
                          gradient.op == &kDepthwiseConv2dGradInput ||
                          gradient.op == &kPointwiseAccumulate;
    if (!can_mask || has_epilogue(gradient) || graph_.value(dx).type.dtype != DType::kRow8 ||
        graph_.value(dx).type.shape.back() % 8 != 0 ||
        !condenses_forward_values(graph_, graph_.node(of_mask))) {
      return;
    }
    gradient.attributes.set("keep", int64_t{1});
    gradient.inputs.push_back(mask);
    gradient.outputs[0] = node.output();
    graph_.value(node.output()).producer = producer;
    graph_.value(dx).producer = kNoNode;
    placed_[index(id)] = true;
  }

  // Behind what it reads: a mask may come later than what it is now part of.
  void place(NodeId id) {
    if (placed_[index(id)]) return;
    placed_[index(id)] = true;
    for (const ValueId input : graph_.node(id).inputs) {
      const NodeId producer = graph_.value(input).producer;
      if (producer != kNoNode) place(producer);
    }
    order_.push_back(id);
  }

  Graph& graph_;
  const std::vector<std::vector<NodeId>> readers_;
  std::vector<bool> stays_;   // by value: as it is
  std::vector<bool> placed_;  // by node: is in order_, or gone
  std::vector<NodeId> order_;
};

}  // namespace

void hold_gradients_in_8_bits(GradientGraph& gradients) { Rewrite(gradients).run(); }

}  // namespace tinytl

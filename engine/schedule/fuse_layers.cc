#include "engine/schedule/fuse_layers.h"

#include <algorithm>
#include <initializer_list>

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

bool is_one_of(const Node& node, std::initializer_list<const OpDef*> ops) {
  return std::ranges::find(ops, node.op) != ops.end();
}

class Fusion {
 public:
  Fusion(Graph& graph, Schedule& schedule, const Room* room)
      : graph_(graph), schedule_(schedule), readers_(graph.values().size(), 0) {
    if (room != nullptr) room_ = *room;
    for (const Node& node : graph.nodes()) {
      for (const ValueId id : node.inputs) ++readers_[index(id)];
    }
    for (const ValueId id : graph.outputs) ++readers_[index(id)];
    step_of_.resize(graph.nodes().size());
    for (size_t s = 0; s < schedule.order.size(); ++s) step_of_[index(schedule.order[s])] = s;
    gone_.resize(graph.nodes().size(), false);
  }

  void run() {
    for (const NodeId id : schedule_.order) {
      const Node& node = graph_.node(id);
      if (node.op == &kClip) fuse_clip(id);
      if (node.op == &kClipMask) fuse_mask(id);
      if (node.op == &kMaskApply || node.op == &kClipGrad) fuse_keep(id);
      if (node.op == &kAccumulate) fuse_sum(id);
      if (is_one_of(node, {&kSgdUpdate, &kAdamUpdate, &kQSgdUpdate})) fuse_update(id);
    }
    std::erase_if(schedule_.order, [&](NodeId id) { return gone_[index(id)]; });
    graph_.keep_nodes(schedule_.order);
    for (size_t n = 0; n < schedule_.order.size(); ++n) {
      schedule_.order[n] = NodeId{static_cast<uint32_t>(n)};
    }
    schedule_.first_update -= removed_before_updates_;
  }

 private:
  // The node that writes `id` for one reader only, if it runs in the same phase as that.
  Node* only_for(NodeId reader, ValueId id) {
    const NodeId producer = graph_.value(id).producer;
    if (producer == kNoNode || readers_[index(id)] != 1) return nullptr;
    Node& node = graph_.node(producer);
    return node.phase == graph_.node(reader).phase && !gone_[index(producer)] ? &node : nullptr;
  }

  size_t step_of_producer(ValueId id) const { return step_of_[index(graph_.value(id).producer)]; }

  // Output 0 of `node` is from now on output 0 of `follower`, which goes.
  void take_over(Node& node, NodeId follower) {
    const ValueId old = node.output(), result = graph_.node(follower).output();
    const NodeId producer = graph_.value(old).producer;
    node.outputs[0] = result;
    graph_.value(result).producer = producer;
    graph_.value(old).producer = kNoNode;
    remove(follower);
  }

  void remove(NodeId id) {
    const size_t step = step_of_[index(id)];
    if (step < schedule_.first_update) ++removed_before_updates_;
    gone_[index(id)] = true;
  }

  void fuse_clip(NodeId clip) {
    const Node& node = graph_.node(clip);
    Node* layer = only_for(clip, node.input(0));
    if (layer == nullptr || has_epilogue(*layer) ||
        !is_one_of(*layer, {&kConv2d, &kDepthwiseConv2d, &kLinear, &kPointwiseAccumulate, &kAdd}) ||
        !ends_in_layer(*layer)) {
      return;
    }
    layer->attributes.set("low", node.attributes.number("low"));
    layer->attributes.set("high", node.attributes.number("high"));
    take_over(*layer, clip);
  }

  // Broadcasting sums have no end of a layer.
  bool ends_in_layer(const Node& node) const {
    return node.op != &kAdd ||
           graph_.value(node.input(0)).type.shape == graph_.value(node.input(1)).type.shape;
  }

  void fuse_mask(NodeId mask) {
    const Node& node = graph_.node(mask);
    const ValueId y = node.input(0), result = node.output();
    const NodeId producer = graph_.value(y).producer;
    if (producer == kNoNode) return;
    Node& layer = graph_.node(producer);
    const auto same = [&](const char* name) {
      return layer.attributes.number(name) == node.attributes.number(name);
    };
    if (!has_clip(layer) || !is_layer_end(layer, y) || !same("low") || !same("high") ||
        graph_.value(y).type.shape.back() % 8 != 0 ||
        !make_room(step_of_[index(producer)], step_of_[index(mask)],
                   graph_.value(result).type.bytes())) {
      return;
    }
    layer.attributes.set("mask", int64_t{1});
    layer.outputs.push_back(result);
    graph_.value(result).producer = producer;
    --readers_[index(y)];
    remove(mask);
  }

  static bool is_layer_end(const Node& layer, ValueId y) {
    return layer.op != &kClip && layer.outputs.size() == 1 && layer.output() == y;
  }

  // For `bytes` more at the steps [from, to).
  bool make_room(size_t from, size_t to, size_t bytes) {
    if (!room_.has_value()) return false;
    constexpr size_t kAlignment = 64;
    const size_t aligned = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    const auto steps = std::span(room_->live).subspan(from, to - from);
    const auto fits = [&](size_t live) { return live + aligned <= room_->most; };
    if (!std::ranges::all_of(steps, fits)) return false;
    for (size_t& live : steps) live += aligned;
    return true;
  }

  // For those values, where nobody reads them later anyway, in the place of `old` at the steps
  // [from, to).
  bool make_room_instead_of(ValueId old, std::initializer_list<ValueId> values, size_t from,
                            size_t to) {
    const auto bytes = [&](ValueId id) { return graph_.value(id).type.bytes(); };
    size_t all = 0;
    for (const ValueId id : values) all += bytes(id);
    if (all <= bytes(old)) return true;
    if (!room_.has_value()) return false;
    const std::vector<size_t> before(room_->live);
    for (size_t step = from; step < to; ++step) room_->live[step] -= bytes(old);
    for (const ValueId id : values) {
      if (make_room(std::max(from, last_read(id, from, to) + 1), to, bytes(id))) continue;
      room_->live = before;
      return false;
    }
    return true;
  }

  // The last of the steps [from, to) that reads `id`; from - 1 where none does.
  size_t last_read(ValueId id, size_t from, size_t to) const {
    for (size_t step = to; step > from; --step) {
      const NodeId node = schedule_.order[step - 1];
      const auto& inputs = graph_.node(node).inputs;
      if (!gone_[index(node)] && std::ranges::find(inputs, id) != inputs.end()) return step - 1;
    }
    return from - 1;
  }

  void fuse_keep(NodeId keep) {
    const Node& node = graph_.node(keep);
    const ValueId dx = node.input(0), mask = node.input(1);
    Node* gradient = only_for(keep, dx);
    if (gradient == nullptr || has_epilogue(*gradient) || is_rounded(dx) ||
        is_rounded(node.output()) ||
        !is_one_of(*gradient, {&kConv2dGradInput, &kDepthwiseConv2dGradInput, &kPointwiseAccumulate,
                               &kAdd, &kMatMul}) ||
        !ends_in_layer(*gradient) || !is_written_before(mask, dx)) {
      return;
    }
    if (node.op == &kMaskApply) {
      if (graph_.value(dx).type.shape.back() % 8 != 0) return;
    } else {
      gradient->attributes.set("low", node.attributes.number("low"));
      gradient->attributes.set("high", node.attributes.number("high"));
    }
    gradient->attributes.set("keep", int64_t{1});
    gradient->inputs.push_back(mask);
    take_over(*gradient, keep);
  }

  // Its scales would be those of other numbers.
  bool is_rounded(ValueId id) const { return graph_.value(id).type.dtype == DType::kRow8; }

  bool is_written_before(ValueId id, ValueId other) const {
    return graph_.value(id).producer == kNoNode || step_of_producer(id) < step_of_producer(other);
  }

  void fuse_sum(NodeId accumulate) {
    const Node& node = graph_.node(accumulate);
    const ValueId sum = node.input(0), dw = node.input(1);
    Node* gradient = only_for(accumulate, dw);
    if (gradient == nullptr || step_of_[index(accumulate)] >= schedule_.first_update) return;
    const OpDef* const added = gradient->op == &kConv2dGradWeight ? &kConv2dGradWeightAdd
                               : gradient->op == &kDepthwiseConv2dGradWeight
                                   ? &kDepthwiseConv2dGradWeightAdd
                                   : nullptr;
    if (added == nullptr || is_used_before(sum, accumulate)) return;
    gradient->op = added;
    gradient->attributes.set("factor", node.attributes.number("factor"));
    gradient->inputs.insert(gradient->inputs.begin(), sum);
    gradient->outputs.clear();
    graph_.value(dw).producer = kNoNode;
    remove(accumulate);
  }

  // The gradient is computed when it is applied: x and dy live as long as it did.
  void fuse_update(NodeId update) {
    enum { kP, kG, kRest };
    Node& node = graph_.node(update);
    const ValueId dw = node.input(kG);
    const NodeId producer = graph_.value(dw).producer;
    if (producer == kNoNode || readers_[index(dw)] != 1 || gone_[index(producer)]) return;
    const Node& gradient = graph_.node(producer);
    const bool of_integers = node.op == &kQSgdUpdate;
    if (gradient.op != (of_integers ? &kQConv2dGradWeight : &kConv2dGradWeight) ||
        !is_pointwise(gradient, node.input(kP))) {
      return;
    }
    const ValueId x = gradient.input(0), dy = gradient.input(1);
    if (is_persistent_view(x) || is_persistent_view(dy)) return;  // its own update may come first
    const size_t from = step_of_[index(producer)] + 1, to = step_of_[index(update)] + 1;
    if (!make_room_instead_of(dw, {x, dy}, from, to)) return;
    std::vector<ValueId> inputs{node.input(kP), node.input(kRest), node.input(kRest + 1), x, dy};
    inputs.insert(inputs.end(), node.inputs.begin() + kRest + 2, node.inputs.end());
    node.op = node.op == &kSgdUpdate ? &kWeightSgdUpdate
              : of_integers          ? &kQWeightSgdUpdate
                                     : &kWeightAdamUpdate;
    if (of_integers) {
      node.attributes.set("x_scale", gradient.attributes.number("x_scale"));
      node.attributes.set("x_zero", gradient.attributes.integer("x_zero"));
    }
    node.inputs = std::move(inputs);
    graph_.value(dw).producer = kNoNode;
    remove(producer);
  }

  bool is_persistent_view(ValueId id) const {
    const Value& value = graph_.value(id);
    if (value.producer == kNoNode) return is_persistent(value.role);
    const Node& node = graph_.node(value.producer);
    return view_offset(graph_, node).has_value() && is_persistent_view(node.input(0));
  }

  bool is_pointwise(const Node& gradient, ValueId w) const {
    const Shape& shape = graph_.value(w).type.shape;
    const auto all = [&](const char* name, int64_t wanted) {
      return std::ranges::all_of(gradient.attributes.integers(name),
                                 [&](int64_t v) { return v == wanted; });
    };
    return shape[0] == 1 && shape[1] == 1 && all("strides", 1) && all("pads", 0) &&
           gradient.attributes.integer("groups") == 1;
  }

  // By a node that runs before `reader`.
  bool is_used_before(ValueId id, NodeId reader) const {
    const auto uses = [&](NodeId other) {
      const std::vector<ValueId>& inputs = graph_.node(other).inputs;
      return !gone_[index(other)] && std::ranges::find(inputs, id) != inputs.end();
    };
    const auto end = schedule_.order.begin() + static_cast<ptrdiff_t>(step_of_[index(reader)]);
    return readers_[index(id)] > 1 && std::any_of(schedule_.order.begin(), end, uses);
  }

  Graph& graph_;
  Schedule& schedule_;
  std::optional<Room> room_;
  std::vector<int> readers_;     // of each value
  std::vector<size_t> step_of_;  // by node
  std::vector<bool> gone_;       // by node
  size_t removed_before_updates_ = 0;
};

}  // namespace

void fuse_layers(Graph& graph, Schedule& schedule, const Room* room) {
  Fusion(graph, schedule, room).run();
}

}  // namespace tinytl

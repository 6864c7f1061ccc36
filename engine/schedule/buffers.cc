#include <algorithm>

#include "engine/schedule/parts.h"
#include "engine/schedule/schedule.h"

namespace tinytl {
namespace {

class Assignment {
 public:
  Assignment(const Graph& graph, const Schedule& schedule, const tt_kernels& kernels, bool share,
             const Room* room)
      : graph_(graph), schedule_(schedule), kernels_(kernels), share_(share), room_(room) {
    const size_t values = graph.values().size(), nodes = graph.nodes().size();
    result_.of_value.resize(values);
    result_.offset.resize(values, 0);
    result_.of_scratch.resize(nodes);
    result_.elided.resize(nodes, false);
    result_.root.resize(values);
    for (size_t v = 0; v < values; ++v) result_.root[v] = ValueId{static_cast<uint32_t>(v)};
    home_.resize(values);
    find_last_uses();
    if (share) find_homes();
  }

  Buffers run() {
    for (const ValueId id : graph_.inputs) {
      if (last_use_[index(id)] >= 0) join(id, add_buffer(graph_.value(id).type.bytes(), 0));
    }
    for (size_t s = 0; s < schedule_.order.size(); ++s) {
      const NodeId id = schedule_.order[s];
      const int step = static_cast<int>(s);
      if (result_.elided[index(id)]) {
        join(graph_.node(id).output(), *buffer_of_parts_[index(id)]);
      } else if (!make_view(id)) {
        place_outputs(id, step);
      }
    }
    return std::move(result_);
  }

 private:
  // A value's place in the buffer of the node that would copy it there.
  struct Home {
    NodeId node = kNoNode;
    size_t offset = 0;
  };

  // last_use_[v]: the last step that reads v itself (not its views); -1 if none does.
  void find_last_uses() {
    last_use_.assign(graph_.values().size(), -1);
    for (size_t step = 0; step < schedule_.order.size(); ++step) {
      for (const ValueId id : graph_.node(schedule_.order[step]).inputs) {
        last_use_[index(id)] = static_cast<int>(step);
      }
    }
    for (const ValueId id : graph_.outputs) {
      last_use_[index(id)] = static_cast<int>(schedule_.order.size());
    }
  }

  // Nodes that need not run because all their inputs can be written straight into their output.
  void find_homes() {
    buffer_of_parts_.resize(graph_.nodes().size());
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const Node& node = graph_.nodes()[n];
      if (node.op->part_offset == nullptr) continue;
      const std::vector<TensorType> types = types_of(graph_, node.inputs);
      std::vector<ValueId> parts;
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const auto offset = node.op->part_offset(node, types, i);
        if (!offset.has_value() || !can_move(node.inputs[i])) break;
        home_[index(node.inputs[i])] = Home{NodeId{static_cast<uint32_t>(n)}, *offset};
        parts.push_back(node.inputs[i]);
      }
      result_.elided[n] = parts.size() == node.inputs.size();
      if (!result_.elided[n]) {
        for (const ValueId part : parts) home_[index(part)].reset();
      }
    }
  }

  // Written by a kernel of its own, and not promised to another node.
  bool can_move(ValueId id) const {
    const NodeId producer = graph_.value(id).producer;
    if (producer == kNoNode || home_[index(id)].has_value()) return false;
    const Node& node = graph_.node(producer);
    return node.op->part_offset == nullptr && !view_offset(graph_, node).has_value();
  }

  size_t add_buffer(size_t bytes, int step) {
    result_.lifetimes.push_back({bytes, step, step});
    result_.values.emplace_back();
    result_.scratch_node.push_back(kNoNode);
    last_of_buffer_.push_back(-1);
    return result_.lifetimes.size() - 1;
  }

  void join(ValueId value, size_t buffer, size_t offset = 0) {
    result_.of_value[index(value)] = buffer;
    result_.offset[index(value)] = offset;
    result_.values[buffer].push_back(value);
    const int end = static_cast<int>(schedule_.order.size()) - 1;
    int& last = result_.lifetimes[buffer].last;
    last = std::max(last, std::min(last_use_[index(value)], end));
    last_of_buffer_[buffer] = std::max(last_of_buffer_[buffer], last_use_[index(value)]);
  }

  bool make_view(NodeId id) {
    const Node& node = graph_.node(id);
    const auto offset = view_offset(graph_, node);
    if (!offset.has_value()) return false;
    const size_t input = index(node.input(0)), output = index(node.output());
    result_.elided[index(id)] = true;
    if (is_persistent(graph_.value(result_.root[input]).role)) {
      result_.root[output] = result_.root[input];
      result_.offset[output] = result_.offset[input] + *offset;
    } else {
      join(node.output(), result_.of_value[input].value(), result_.offset[input] + *offset);
    }
    return true;
  }

  void place_outputs(NodeId id, int step) {
    const Node& node = graph_.node(id);
    const std::vector<TensorType> types = types_of(graph_, node.inputs);
    const int parts = parts_of(graph_, node, schedule_.threads);
    size_t scratch = scratch_bytes(node, types, kernels_, parts);
    for (size_t j = 0; j < node.outputs.size(); ++j) {
      const ValueId output = node.outputs[j];
      if (const auto home = home_[index(output)]) {
        auto& buffer = buffer_of_parts_[index(home->node)];
        if (!buffer.has_value()) {
          const ValueId whole = graph_.node(home->node).output();
          buffer = add_buffer(graph_.value(whole).type.bytes(), step);
        }
        join(output, *buffer, home->offset);
      } else if (j > 0 || !share_ || !share_input(node, types, parts, step, scratch)) {
        join(output, add_buffer(graph_.value(output).type.bytes(), step));
      }
    }
    if (scratch > 0) {
      result_.of_scratch[index(id)] = add_buffer(scratch, step);
      result_.scratch_node.back() = id;
    }
  }

  // Gives output 0 the bytes of an input, where the operator may work in place. Changes `scratch`
  // where that takes more of it, or less.
  bool share_input(const Node& node, InputTypes types, int parts, int step, size_t& scratch) {
    const size_t bytes = graph_.value(node.output()).type.bytes();
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if ((node.op->in_place >> i & 1) == 0) continue;
      const auto buffer = result_.of_value[index(node.inputs[i])];
      if (!buffer.has_value() || last_of_buffer_[*buffer] > step) continue;
      if (types[i].bytes() != bytes || result_.lifetimes[*buffer].bytes != bytes) continue;
      if (reads_otherwise(node, types, i, *buffer)) continue;
      if (i == 0 && node.op->in_place_scratch != nullptr) {
        const auto needed = in_place_scratch(node, types, kernels_, parts);
        if (!needed.has_value() || *needed >= bytes) continue;
        if (has_room(step, bytes + scratch, *needed)) continue;
        scratch = *needed;
      }
      join(node.output(), *buffer);
      return true;
    }
    return false;
  }

  // For a result and scratch of `apart` bytes instead of scratch of `in_place`.
  bool has_room(int step, size_t apart, size_t in_place) const {
    constexpr size_t kRounding = 2 * 64;  // of the two buffers' sizes, as the planner aligns them
    return room_ != nullptr &&
           room_->live[static_cast<size_t>(step)] + apart + kRounding <= room_->most + in_place;
  }

  // Another input lies in the same buffer, and not element for element as input `i` does.
  bool reads_otherwise(const Node& node, InputTypes types, size_t i, size_t buffer) const {
    for (size_t j = 0; j < node.inputs.size(); ++j) {
      if (j == i || result_.of_value[index(node.inputs[j])] != buffer) continue;
      if ((node.op->in_place >> j & 1) == 0 || types[j].bytes() != types[i].bytes()) return true;
    }
    return false;
  }

  const Graph& graph_;
  const Schedule& schedule_;
  const tt_kernels& kernels_;
  const bool share_;
  const Room* const room_;
  Buffers result_;
  std::vector<int> last_use_, last_of_buffer_;
  std::vector<std::optional<Home>> home_;               // by value
  std::vector<std::optional<size_t>> buffer_of_parts_;  // by node
};

}  // namespace

Buffers assign_buffers(const Graph& graph, const Schedule& schedule, const tt_kernels& kernels,
                       bool share, const Room* room) {
  return Assignment(graph, schedule, kernels, share, room).run();
}

}  // namespace tinytl

#include <algorithm>

#include "engine/schedule/schedule.h"

namespace tinytl {
namespace {

class Assignment {
 public:
  Assignment(const Graph& graph, const Schedule& schedule, const tt_kernels& kernels)
      : graph_(graph), schedule_(schedule), kernels_(kernels) {
    const size_t values = graph.values().size();
    result_.of_value.resize(values);
    result_.of_scratch.resize(graph.nodes().size());
    result_.root.resize(values);
    for (size_t v = 0; v < values; ++v) result_.root[v] = ValueId{static_cast<uint32_t>(v)};
    find_last_uses();
  }

  Buffers run() {
    for (const ValueId id : graph_.inputs) {
      if (last_use_[index(id)] >= 0) add_buffer(id, 0);
    }
    for (size_t step = 0; step < schedule_.order.size(); ++step) {
      const NodeId id = schedule_.order[step];
      const Node& node = graph_.node(id);
      for (size_t j = 0; j < node.outputs.size(); ++j) {
        if (j == 0 && share_input(node, static_cast<int>(step))) continue;
        add_buffer(node.outputs[j], static_cast<int>(step));
      }
      add_scratch(id, static_cast<int>(step));
    }
    return std::move(result_);
  }

 private:
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

  void add_buffer(ValueId value, int step) {
    const size_t buffer = result_.lifetimes.size();
    result_.lifetimes.push_back({graph_.value(value).type.bytes(), step, step});
    result_.values.emplace_back();
    result_.scratch_node.push_back(kNoNode);
    join(value, buffer);
  }

  void join(ValueId value, size_t buffer) {
    result_.of_value[index(value)] = buffer;
    result_.values[buffer].push_back(value);
    const int end = static_cast<int>(schedule_.order.size()) - 1;
    int& last = result_.lifetimes[buffer].last;
    last = std::max(last, std::min(last_use_[index(value)], end));
    last_of_buffer_.resize(result_.lifetimes.size(), -1);
    last_of_buffer_[buffer] = std::max(last_of_buffer_[buffer], last_use_[index(value)]);
  }

  // Gives output 0 the bytes of an input where the operator is a view or may work in place.
  bool share_input(const Node& node, int step) {
    const ValueId output = node.outputs[0];
    if (node.op->is_view) {
      const ValueId root = result_.root[index(node.inputs[0])];
      result_.root[index(output)] = root;
      if (is_persistent(graph_.value(root).role)) return true;
      result_.root[index(output)] = output;
      join(output, result_.of_value[index(node.inputs[0])].value());
      return true;
    }
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if ((node.op->in_place >> i & 1) == 0) continue;
      const ValueId input = node.inputs[i];
      const auto buffer = result_.of_value[index(input)];
      if (!buffer.has_value() || last_of_buffer_[*buffer] > step) continue;
      if (graph_.value(input).type.bytes() != graph_.value(output).type.bytes()) continue;
      if (result_.lifetimes[*buffer].bytes != graph_.value(output).type.bytes()) continue;
      join(output, *buffer);
      return true;
    }
    return false;
  }

  void add_scratch(NodeId id, int step) {
    const Node& node = graph_.node(id);
    if (node.op->scratch_bytes == nullptr) return;
    std::vector<TensorType> types;
    for (const ValueId input : node.inputs) types.push_back(graph_.value(input).type);
    const size_t bytes = node.op->scratch_bytes(node, types, kernels_);
    if (bytes == 0) return;
    result_.of_scratch[index(id)] = result_.lifetimes.size();
    result_.lifetimes.push_back({bytes, step, step});
    result_.values.emplace_back();
    result_.scratch_node.push_back(id);
    last_of_buffer_.resize(result_.lifetimes.size(), -1);
  }

  const Graph& graph_;
  const Schedule& schedule_;
  const tt_kernels& kernels_;
  Buffers result_;
  std::vector<int> last_use_, last_of_buffer_;
};

}  // namespace

Buffers assign_buffers(const Graph& graph, const Schedule& schedule, const tt_kernels& kernels) {
  return Assignment(graph, schedule, kernels).run();
}

}  // namespace tinytl

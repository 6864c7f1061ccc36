#include "engine/schedule/order_model.h"

#include <algorithm>

#include "engine/schedule/parts.h"

namespace tinytl {
namespace {

constexpr uint32_t kNone = UINT32_MAX;

// Appends unless it is there already.
void add_once(std::vector<uint32_t>& list, uint32_t item) {
  if (std::find(list.begin(), list.end(), item) == list.end()) list.push_back(item);
}

}  // namespace

class OrderModel::Builder {
 public:
  Builder(OrderModel& model, const Graph& graph, const tt_kernels& kernels, int threads,
          size_t alignment)
      : model_(model),
        graph_(graph),
        kernels_(kernels),
        threads_(threads),
        alignment_(alignment),
        group_of_(graph.values().size(), kNone),
        home_(graph.values().size(), kNone) {}

  void build() {
    std::vector<bool> used(graph_.values().size(), false);
    for (const ValueId id : graph_.outputs) used[index(id)] = true;
    for (const Node& node : graph_.nodes()) {
      for (const ValueId id : node.inputs) used[index(id)] = true;
    }
    for (const ValueId id : graph_.inputs) {
      if (!used[index(id)]) continue;
      group_of_[index(id)] = add_group(graph_.value(id).type.bytes());
      model_.groups_.back().input = true;
    }
    model_.steps_.resize(graph_.nodes().size());
    find_homes();
    for (uint32_t n = 0; n < graph_.nodes().size(); ++n) add_step(n);
    for (const ValueId id : graph_.outputs) {
      if (group_of_[index(id)] != kNone) model_.groups_[group_of_[index(id)]].kept = true;
    }
  }

 private:
  size_t aligned(size_t bytes) const { return (bytes + alignment_ - 1) / alignment_ * alignment_; }

  uint32_t add_group(size_t bytes) {
    model_.groups_.push_back({.bytes = aligned(bytes), .readers = {}, .writers = {}});
    exact_bytes_.push_back(bytes);
    return static_cast<uint32_t>(model_.groups_.size() - 1);
  }

  // Concatenations whose parts are written in place, as assign_buffers chooses them.
  void find_homes() {
    for (const Node& node : graph_.nodes()) {
      if (node.op->part_offset == nullptr) continue;
      const std::vector<TensorType> types = types_of(graph_, node.inputs);
      const uint32_t group = add_group(graph_.value(node.output()).type.bytes());
      size_t parts = 0;
      while (parts < node.inputs.size() && node.op->part_offset(node, types, parts) &&
             can_move(node.inputs[parts])) {
        home_[index(node.inputs[parts++])] = group;
      }
      if (parts == node.inputs.size()) {
        group_of_[index(node.output())] = group;
      } else {
        while (parts > 0) home_[index(node.inputs[--parts])] = kNone;
      }
    }
  }

  bool can_move(ValueId id) const {
    const NodeId producer = graph_.value(id).producer;
    if (producer == kNoNode || home_[index(id)] != kNone) return false;
    const Node& node = graph_.node(producer);
    return node.op->part_offset == nullptr && !view_offset(graph_, node).has_value();
  }

  void add_step(uint32_t n) {
    const Node& node = graph_.nodes()[n];
    for (const ValueId id : node.inputs) {
      if (group_of_[index(id)] != kNone) add_once(model_.steps_[n].reads, group_of_[index(id)]);
    }
    for (const uint32_t g : model_.steps_[n].reads) model_.groups_[g].readers.push_back(n);
    if (view_offset(graph_, node)) {
      group_of_[index(node.output())] = group_of_[index(node.input(0))];
    } else if (node.outputs.empty() || group_of_[index(node.output())] == kNone) {
      add_kernel(n);
    }
  }

  // A node that is not elided.
  void add_kernel(uint32_t n) {
    const Node& node = graph_.nodes()[n];
    Step& step = model_.steps_[n];
    const std::vector<TensorType> types = types_of(graph_, node.inputs);
    for (const ValueId id : node.outputs) {
      uint32_t& group = group_of_[index(id)];
      group = home_[index(id)];
      if (group == kNone) group = add_group(graph_.value(id).type.bytes());
      add_once(step.writes, group);
    }
    for (const uint32_t g : step.writes) model_.groups_[g].writers.push_back(n);
    const int parts = parts_of(graph_, node, threads_);
    step.scratch = aligned(scratch_bytes(node, types, kernels_, parts));
    const bool has_own = !node.outputs.empty() && home_[index(node.output())] == kNone;
    if (has_own) add_sharings(n, types, parts);
  }

  void add_sharings(uint32_t n, InputTypes types, int parts) {
    const Node& node = graph_.nodes()[n];
    Step& step = model_.steps_[n];
    const size_t bytes = graph_.value(node.output()).type.bytes();
    step.output = aligned(bytes);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const uint32_t group = group_of_[index(node.inputs[i])];
      if ((node.op->in_place >> i & 1) == 0 || group == kNone) continue;
      if (types[i].bytes() != bytes || exact_bytes_[group] != bytes) continue;
      if (reads_otherwise(node, types, i)) continue;
      size_t scratch = step.scratch;
      if (i == 0 && node.op->in_place_scratch != nullptr) {
        const auto needed = in_place_scratch(node, types, kernels_, parts);
        if (!needed.has_value() || *needed >= bytes) continue;
        scratch = aligned(*needed);
      }
      step.sharings.push_back({group, scratch});
    }
  }

  // As in assign_buffers: two inputs that are there at once share bytes only within a group.
  bool reads_otherwise(const Node& node, InputTypes types, size_t i) const {
    for (size_t j = 0; j < node.inputs.size(); ++j) {
      if (j == i || group_of_[index(node.inputs[j])] != group_of_[index(node.inputs[i])]) continue;
      if ((node.op->in_place >> j & 1) == 0 || types[j].bytes() != types[i].bytes()) return true;
    }
    return false;
  }

  OrderModel& model_;
  const Graph& graph_;
  const tt_kernels& kernels_;
  const int threads_;
  const size_t alignment_;
  std::vector<uint32_t> group_of_, home_;  // by value
  std::vector<size_t> exact_bytes_;        // by group
};

OrderModel::OrderModel(const Graph& graph, const tt_kernels& kernels, int threads,
                       size_t alignment) {
  Builder(*this, graph, kernels, threads, alignment).build();
}

size_t OrderModel::input_bytes() const {
  size_t bytes = 0;
  for (const Group& group : groups_) bytes += group.input ? group.bytes : 0;
  return bytes;
}

Replay::Replay(const OrderModel& model)
    : model_(model),
      waiting_(model.groups().size()),
      started_(model.groups().size()),
      live_(model.input_bytes()) {
  for (size_t g = 0; g < waiting_.size(); ++g) {
    const OrderModel::Group& group = model.groups()[g];
    waiting_[g] = static_cast<uint32_t>(group.readers.size()) + group.kept;
    started_[g] = group.input;
  }
}

size_t Replay::run(uint32_t node) {
  const StepBytes bytes = model_.bytes_of(
      node, [&](uint32_t g) { return !started_[g]; }, [&](uint32_t g) { return waiting_[g] == 1; });
  for (const uint32_t g : model_.steps()[node].writes) started_[g] = 1;
  for (const uint32_t g : model_.steps()[node].reads) --waiting_[g];
  const size_t during = live_ + bytes.extra;
  live_ = live_ + bytes.written - bytes.freed;
  return during;
}

std::vector<size_t> profile_of(const OrderModel& model, std::span<const uint32_t> order) {
  Replay replay(model);
  std::vector<size_t> profile;
  profile.reserve(order.size());
  for (const uint32_t node : order) profile.push_back(replay.run(node));
  return profile;
}

Peak peak_of(std::span<const size_t> profile) {
  Peak peak;
  for (size_t i = 0; i < profile.size(); ++i) {
    if (profile[i] > peak.bytes) peak = {profile[i], 0, i};
    peak.steps += profile[i] == peak.bytes;
  }
  return peak;
}

}  // namespace tinytl

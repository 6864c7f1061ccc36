#include "engine/schedule/live_model.h"

#include <algorithm>
#include <numeric>

#include "engine/schedule/cost.h"
#include "engine/schedule/parts.h"

namespace tinytl {

LiveModel::LiveModel(const Graph& graph, const tt_kernels& kernels, const ScheduleOptions& options)
    : graph_(graph), saves_(graph), order_(schedule(graph, options, &kernels).order) {
  const size_t values = graph.values().size();
  bytes_.resize(2 * values, 0);
  for (size_t v = 0; v < values; ++v) {
    const Value& value = graph.values()[v];
    if (!is_persistent(value.role)) bytes_[v] = bytes_[values + v] = value.type.bytes();
  }
  for (const Node& node : graph.nodes()) {
    is_view_.push_back(view_offset(graph, node).has_value());
    seconds_.push_back(node_seconds(graph, node, options.threads));
    const std::vector<TensorType> types = types_of(graph, node.inputs);
    scratch_.push_back(scratch_bytes(node, types, kernels, parts_of(graph, node, options.threads)));
    over_.emplace_back();
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if ((node.op->in_place >> i & 1) != 0) over_.back().push_back(static_cast<uint8_t>(i));
    }
  }
}

LiveModel::Estimate LiveModel::estimate(const Saves::Set& dropped, size_t limit) {
  const size_t values = graph_.values().size(), nodes = graph_.nodes().size();
  kept_ = saves_.kept(dropped);
  slots_.resize(values);
  std::iota(slots_.begin(), slots_.end(), Slot{0});
  copies_ = slots_;
  first_.assign(2 * values, -1);
  last_.assign(2 * values, -1);
  done_.assign(nodes, false);
  put_off_.assign(nodes, false);
  steps_.clear();
  extra_seconds_ = 0;
  for (const ValueId id : graph_.inputs) first_[index(id)] = 0;
  for (const NodeId id : order_) {
    const bool is_late = saves_.is_late(id, dropped);
    if (is_late && saves_.condenses(id)) {
      put_off_[index(id)] = true;
      continue;
    }
    if (is_late) fetch(graph_.node(id).inputs);
    run(id, is_late ? copies_ : slots_, slots_);
  }
  for (const ValueId id : graph_.outputs) {
    last_[slots_[index(id)]] = static_cast<int>(steps_.size()) - 1;
  }
  work_in_place();
  return measure(limit);
}

// Sees to it that `copies_` of the inputs of a late node are there.
void LiveModel::fetch(std::span<const ValueId> inputs) {
  for (const ValueId input : inputs) {
    const NodeId producer = graph_.value(input).producer;
    if (producer != kNoNode && put_off_[index(producer)]) {
      put_off_[index(producer)] = false;
      fetch(graph_.node(producer).inputs);
      run(producer, copies_, slots_);
    }
    if (kept_[index(saves_.root(input))] || !saves_.is_forward(producer)) {
      copies_[index(input)] = slots_[index(input)];
    } else {
      repeat(producer);
    }
  }
}

void LiveModel::repeat(NodeId id) {
  if (done_[index(id)]) return;
  done_[index(id)] = true;
  const Node& node = graph_.node(id);
  fetch(node.inputs);
  for (const ValueId output : node.outputs) {
    copies_[index(output)] = static_cast<Slot>(graph_.values().size() + index(output));
  }
  run(id, copies_, copies_);
  extra_seconds_ += seconds_[index(id)];
}

void LiveModel::run(NodeId id, const std::vector<Slot>& from, std::vector<Slot>& to) {
  const Node& node = graph_.node(id);
  if (is_view_[index(id)]) {
    to[index(node.output())] = from[index(node.input(0))];
    return;
  }
  const int step = static_cast<int>(steps_.size());
  Step& entry = steps_.emplace_back();
  entry.scratch = scratch_[index(id)];
  for (const ValueId input : node.inputs) last_[from[index(input)]] = step;
  const auto& over = over_[index(id)];
  for (size_t k = 0; k < std::min(over.size(), entry.overwritable.size()); ++k) {
    entry.overwritable[k] = from[index(node.inputs[over[k]])];
  }
  for (const ValueId output : node.outputs) {
    const Slot slot = to[index(output)];
    first_[slot] = last_[slot] = step;
  }
  entry.output = node.outputs.empty() ? kNone : to[index(node.output())];
}

// A value that dies while another takes its bytes ends one step earlier.
void LiveModel::work_in_place() {
  for (size_t s = 0; s < steps_.size(); ++s) {
    const Step& step = steps_[s];
    if (step.output == kNone) continue;
    for (const Slot slot : step.overwritable) {
      if (slot == kNone || last_[slot] != static_cast<int>(s)) continue;
      if (bytes_[slot] != bytes_[step.output]) continue;
      --last_[slot];
      break;
    }
  }
}

LiveModel::Estimate LiveModel::measure(size_t limit) const {
  std::vector<int64_t> change(steps_.size() + 1, 0);
  for (size_t slot = 0; slot < bytes_.size(); ++slot) {
    if (first_[slot] < 0 || last_[slot] < first_[slot]) continue;
    change[static_cast<size_t>(first_[slot])] += static_cast<int64_t>(bytes_[slot]);
    change[static_cast<size_t>(last_[slot]) + 1] -= static_cast<int64_t>(bytes_[slot]);
  }
  Estimate result{.extra_seconds = extra_seconds_};
  int64_t alive = 0;
  for (size_t s = 0; s < steps_.size(); ++s) {
    alive += change[s];
    const size_t bytes = static_cast<size_t>(alive) + steps_[s].scratch;
    result.peak_bytes = std::max(result.peak_bytes, bytes);
    if (bytes > limit) result.excess += static_cast<double>(bytes - limit);
  }
  return result;
}

}  // namespace tinytl

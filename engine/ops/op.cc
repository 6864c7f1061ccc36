#include "engine/ops/op.h"

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/weight_channels.h"

namespace tinytl {

tt_weights KernelArgs::weights(size_t i) const {
  const TensorType& type = this->type(i);
  if (type.dtype == DType::kF32) return {f32(i), nullptr, nullptr};
  const auto* bytes = static_cast<const std::byte*>(in_[i].data);
  return {nullptr, reinterpret_cast<const int8_t*>(bytes),
          reinterpret_cast<const float*>(bytes + type.scale_offset())};
}

Share KernelArgs::share(int64_t n, int64_t grain) const {
  const int64_t grains = (n + grain - 1) / grain;
  const auto border = [&](int64_t i) { return std::min(n, grains * i / part_.count * grain); };
  return {border(part_.index), border(part_.index + 1)};
}

void check(bool ok, const Node& node, InputTypes in, std::string_view message) {
  if (ok) return;
  std::string text = "node \"" + node.name + "\" (" + std::string(node.op->name) +
                     "): " + std::string(message) + ":";
  for (const TensorType& type : in) text += " " + to_string(type);
  throw InputError(text);
}

std::vector<ValueId> emit_all(Graph& graph, const OpDef& op, std::string name,
                              std::vector<ValueId> inputs, Attributes attributes, Phase phase) {
  Node node{.name = std::move(name),
            .op = &op,
            .inputs = std::move(inputs),
            .outputs = {},
            .attributes = std::move(attributes),
            .phase = phase};
  const OutputTypes types = op.infer(node, types_of(graph, node.inputs));
  const NodeId id = graph.append(std::move(node), types);
  return graph.node(id).outputs;
}

ValueId emit(Graph& graph, const OpDef& op, std::string name, std::vector<ValueId> inputs,
             Attributes attributes, Phase phase) {
  return emit_all(graph, op, std::move(name), std::move(inputs), std::move(attributes), phase)
      .at(0);
}

std::optional<size_t> view_offset(const Graph& graph, const Node& node) {
  if (node.op->view_offset == nullptr) return std::nullopt;
  return node.op->view_offset(node, types_of(graph, node.inputs));
}

GradBuilder::GradBuilder(Graph& graph, NodeId node, std::vector<bool> wanted,
                         std::vector<std::optional<ValueId>> dy,
                         std::vector<std::vector<int64_t>> channels)
    : graph_(graph),
      node_(graph.node(node)),
      wanted_(std::move(wanted)),
      dy_(std::move(dy)),
      gradients_(node_.inputs.size()),
      channels_(std::move(channels)) {}

ValueId GradBuilder::dy(size_t j) const {
  TT_ASSERT(dy_.at(j).has_value());
  return *dy_[j];
}

ValueId GradBuilder::emit(const OpDef& op, std::vector<ValueId> inputs, Attributes attributes) {
  return tinytl::emit(graph_, op, node_.name, std::move(inputs), std::move(attributes),
                      Phase::kBackward);
}

void GradBuilder::set(size_t input, ValueId gradient) {
  TT_ASSERT(wants(input) && !gradients_.at(input).has_value());
  TT_ASSERT(type(gradient) == channels_of(gradient_type(input_type(input)), channels(input)));
  gradients_[input] = gradient;
}

void GradBuilder::set_reduced(size_t input, ValueId gradient) {
  const Shape& shape = input_type(input).shape;
  if (type(gradient).shape != shape) {
    gradient = emit(kSumTo, {gradient}, {{"shape", shape}});
  }
  set(input, gradient);
}

}  // namespace tinytl

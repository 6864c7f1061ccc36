#include "tinytl/methods/channel_scale.h"

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"

namespace tinytl {
namespace {

bool is_one_of(const Node& node, std::initializer_list<const OpDef*> ops) {
  return std::ranges::find(ops, node.op) != ops.end();
}

bool is_layer_to_scale(const Graph& graph, const Node& node,
                       const std::vector<ValueId>& classifier) {
  return is_one_of(node, {&kConv2d, &kDepthwiseConv2d, &kLinear}) && node.inputs.size() == 3 &&
         is_parameter(graph.value(node.input(1)).role) &&
         std::ranges::find(classifier, node.input(1)) == classifier.end();
}

}  // namespace

Graph insert_channel_scales(const Graph& graph, const std::vector<ValueId>& classifier,
                            std::vector<ValueId>* new_ids) {
  std::vector<ValueId> ids;
  Graph result = without_nodes(graph, ids);
  for (const Node& old : graph.nodes()) {
    Node node = old;
    for (ValueId& input : node.inputs) input = ids[index(input)];
    const bool scales = is_layer_to_scale(graph, old, classifier);
    const ValueId bias = scales ? node.inputs[2] : ValueId{};
    if (scales) node.inputs.pop_back();
    const std::string name = node.name;
    const NodeId added = result.append(std::move(node), types_of(graph, old.outputs));
    std::vector<ValueId> outputs = result.node(added).outputs;
    if (scales) {
      const int64_t channels = result.value(bias).type.elements();
      auto ones = std::make_shared<Tensor>(TensorType{DType::kF32, {channels}});
      std::ranges::fill(ones->f32(), 1.0f);
      const ValueId scale = result.add_persistent(name + ".scale", Role::kWeight, std::move(ones));
      const ValueId scaled = emit(result, kMul, name + ".scale", {outputs[0], scale});
      outputs[0] = emit(result, kAdd, name + ".shift", {scaled, bias});
    }
    for (size_t j = 0; j < outputs.size(); ++j) {
      ids[index(old.outputs[j])] = outputs[j];
      result.value(outputs[j]).name = graph.value(old.outputs[j]).name;
    }
  }
  for (const ValueId id : graph.outputs) result.outputs.push_back(ids[index(id)]);
  if (new_ids != nullptr) *new_ids = std::move(ids);
  return result;
}

std::vector<bool> channel_scales(const Graph& graph) {
  std::vector<bool> result(graph.values().size(), false);
  for (const Node& node : graph.nodes()) {
    if (!is_one_of(node, {&kMul, &kBatchNormInference, &kBatchNorm, &kGroupNorm, &kLayerNorm}))
      continue;
    for (const ValueId id : node.inputs) {
      if (graph.value(id).role == Role::kWeight) result[index(id)] = true;
    }
  }
  return result;
}

}  // namespace tinytl

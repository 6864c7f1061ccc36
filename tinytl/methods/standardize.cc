#include "tinytl/methods/standardize.h"

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"

namespace tinytl {
namespace {

constexpr float kEpsilon = 1e-5f;

// By value: whether a group norm reads it.
std::vector<bool> read_by_group_norms(const Graph& graph) {
  std::vector<bool> result(graph.values().size(), false);
  for (const Node& node : graph.nodes()) {
    if (node.op == &kGroupNorm) result[index(node.input(0))] = true;
  }
  return result;
}

}  // namespace

Graph standardize_trained_weights(const Graph& graph, const std::vector<ValueId>& trained,
                                  std::vector<ValueId>* new_ids) {
  const std::vector<bool> is_normalised = read_by_group_norms(graph);
  std::vector<ValueId> ids;
  Graph result = without_nodes(graph, ids);
  for (const Node& old : graph.nodes()) {
    Node node = old;
    for (ValueId& input : node.inputs) input = ids[index(input)];
    const bool is_convolution = node.op == &kConv2d || node.op == &kDepthwiseConv2d;
    if (is_convolution && node.inputs.size() == 2 && is_normalised[index(old.output())] &&
        std::ranges::find(trained, old.input(1)) != trained.end()) {
      const std::string name = graph.value(old.input(1)).name + ".standardized";
      node.inputs[1] =
          emit(result, kStandardizeWeight, name, {node.inputs[1]}, {{"epsilon", kEpsilon}});
    }
    const NodeId added = result.append(std::move(node), types_of(graph, old.outputs));
    for (size_t j = 0; j < old.outputs.size(); ++j) {
      const ValueId output = result.node(added).output(j);
      ids[index(old.outputs[j])] = output;
      result.value(output).name = graph.value(old.outputs[j]).name;
    }
  }
  for (const ValueId id : graph.outputs) result.outputs.push_back(ids[index(id)]);
  if (new_ids != nullptr) *new_ids = std::move(ids);
  return result;
}

}  // namespace tinytl

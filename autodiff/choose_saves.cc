#include "autodiff/choose_saves.h"

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"

namespace tinytl {

void prefer_kept_values_to_masks(Graph& graph) {
  const auto readers_of = readers(graph);
  const auto keeps = [&](NodeId reader) {
    const Node& node = graph.node(reader);
    return node.phase == Phase::kBackward && !condenses_forward_values(graph, node);
  };
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    Node& node = graph.node(NodeId{static_cast<uint32_t>(n)});
    if (node.op != &kMaskApply || node.phase != Phase::kBackward) continue;
    const NodeId producer = graph.value(node.inputs[1]).producer;
    if (producer == kNoNode || graph.node(producer).op != &kClipMask) continue;
    const Node& mask = graph.node(producer);
    const ValueId y = mask.inputs[0];
    const auto& others = readers_of[index(y)];
    if (std::none_of(others.begin(), others.end(), keeps)) continue;
    node.op = &kClipGrad;
    node.inputs[1] = y;
    node.attributes = mask.attributes;
  }
}

}  // namespace tinytl

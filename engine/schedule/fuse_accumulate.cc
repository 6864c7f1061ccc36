#include "engine/schedule/fuse_accumulate.h"

#include <algorithm>
#include <set>

#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

bool is_pointwise(const Graph& graph, const Node& node) {
  if (node.op != &kConv2d && node.op != &kConv2dGradInput) return false;
  const Shape& w = graph.value(node.input(1)).type.shape;
  const auto all = [&](const char* name, int64_t wanted) {
    return std::ranges::all_of(node.attributes.integers(name),
                               [&](int64_t v) { return v == wanted; });
  };
  return w[0] == 1 && w[1] == 1 && all("strides", 1) && all("pads", 0) &&
         node.attributes.integer("groups") == 1;
}

// The gradient of an average pool whose windows do not overlap.
bool is_apart(const Node& node) {
  if (node.op != &kAveragePoolGrad) return false;
  const auto kernel = node.attributes.integers("kernel");
  const auto strides = node.attributes.integers("strides");
  return strides[0] >= kernel[0] && strides[1] >= kernel[1];
}

// The values that may lie in the bytes of `id`: those it is a view of, or is put together from.
void add_sources(const Graph& graph, ValueId id, std::set<ValueId>& sources) {
  if (!sources.insert(id).second || graph.value(id).producer == kNoNode) return;
  const Node& node = graph.node(graph.value(id).producer);
  if (node.op->view_offset == nullptr && node.op->part_offset == nullptr) return;
  for (const ValueId input : node.inputs) add_sources(graph, input, sources);
}

bool may_share_bytes(const Graph& graph, ValueId x, ValueId y) {
  std::set<ValueId> of_x, of_y;
  add_sources(graph, x, of_x);
  add_sources(graph, y, of_y);
  return std::ranges::any_of(of_x, [&](ValueId id) { return of_y.contains(id); });
}

class Fusion {
 public:
  explicit Fusion(Graph& graph)
      : graph_(graph), readers_(readers(graph)), is_output_(graph.values().size(), false) {
    for (const ValueId id : graph.outputs) is_output_[index(id)] = true;
  }

  void run() {
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const NodeId add{static_cast<uint32_t>(n)};
      if (graph_.node(add).op != &kAdd || fuse_pool(add)) continue;
      const bool first = can_fuse(add, 0), second = can_fuse(add, 1);
      if (!first && !second) continue;
      const auto producer = [&](size_t i) {
        return graph_.value(graph_.node(add).input(i)).producer;
      };
      fuse(add, first && second ? producer(1) > producer(0) : second);
    }
  }

 private:
  // Pooled gradients are small and can wait for the sum that they are spread over.
  bool fuse_pool(NodeId add) {
    Node& node = graph_.node(add);
    for (const size_t i : {0u, 1u}) {
      const ValueId q = node.input(i), sum = node.input(1 - i);
      const NodeId producer = graph_.value(q).producer;
      if (producer == kNoNode || !is_apart(graph_.node(producer)) || q == sum) continue;
      const Node& pool = graph_.node(producer);
      if (pool.phase != node.phase || is_output_[index(q)] || readers_[index(q)].size() != 1 ||
          may_share_bytes(graph_, sum, pool.input(0))) {
        continue;
      }
      node.op = &kAveragePoolGradAdd;
      node.attributes = pool.attributes;
      node.inputs = {sum, pool.input(0)};
      return true;
    }
    return false;
  }

  bool can_fuse(NodeId add, size_t operand) const {
    const Node& node = graph_.node(add);
    const ValueId q = node.input(operand), acc = node.input(1 - operand);
    const NodeId producer = graph_.value(q).producer;
    if (producer == kNoNode || q == acc || graph_.value(q).type != graph_.value(acc).type) {
      return false;
    }
    const Node& conv = graph_.node(producer);
    return is_pointwise(graph_, conv) && conv.phase == node.phase && !is_output_[index(q)] &&
           readers_[index(q)].size() == 1 && can_wait(producer, add) &&
           std::ranges::none_of(conv.inputs, [&](ValueId input) {
             return may_share_bytes(graph_, acc, input);  // it is read while acc is overwritten
           });
  }

  // No more bytes are alive between the convolution and the Add if it runs in the Add's place.
  bool can_wait(NodeId conv, NodeId add) const {
    const ValueId a = graph_.node(conv).input(0);
    const size_t kept = graph_.value(a).type.bytes();
    return index(add) == index(conv) + 1 || readers_[index(a)].back() > add ||
           kept <= graph_.value(graph_.node(conv).output()).type.bytes();
  }

  void fuse(NodeId add, size_t operand) {
    Node& node = graph_.node(add);
    const Node& conv = graph_.node(graph_.value(node.input(operand)).producer);
    const bool transposed = conv.op == &kConv2dGradInput;
    std::vector<ValueId> inputs{node.input(1 - operand)};
    inputs.insert(inputs.end(), conv.inputs.begin(), conv.inputs.end());
    node.op = &kPointwiseAccumulate;
    node.inputs = std::move(inputs);
    node.attributes = Attributes{{"transposed", int64_t{transposed}}};
  }

  Graph& graph_;
  const std::vector<std::vector<NodeId>> readers_;
  std::vector<bool> is_output_;
};

}  // namespace

void fuse_accumulate(Graph& graph) { Fusion(graph).run(); }

}  // namespace tinytl

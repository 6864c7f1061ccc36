#include "tinytl/methods/find_blocks.h"

#include <algorithm>
#include <optional>

#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

bool is_one_of(const Node& node, std::initializer_list<const OpDef*> ops) {
  return std::ranges::find(ops, node.op) != ops.end();
}

bool is_activation(const Node& node) {
  return is_one_of(node, {&kClip, &kLeakyRelu, &kHardSwish, &kHardSigmoid, &kSilu, &kGelu, &kTanh,
                          &kElu, &kSoftplus, &kSigmoid});
}

bool is_convolution(const Node& node) { return is_one_of(node, {&kConv2d, &kDepthwiseConv2d}); }

// What a walk up a branch came past.
struct Walk {
  NodeId node = kNoNode;  // the convolution it ended at
  bool past_activation = false;
};

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph), readers_(readers(graph)) {}

  std::vector<Block> run() {
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const Node& node = graph_.nodes()[n];
      std::optional<Block> block;
      if (is_pointwise(node)) block = around_depthwise(node);
      if (node.op == &kAdd) block = beside_shortcut(node);
      if (block.has_value()) blocks_.push_back(*block);
    }
    return std::move(blocks_);
  }

 private:
  const Shape& shape_of(ValueId id) const { return graph_.value(id).type.shape; }

  bool is_pointwise(const Node& node) const {
    if (node.op != &kConv2d) return false;
    const Shape& w = shape_of(node.input(1));
    return w[0] == 1 && w[1] == 1 && node.attributes.integer("groups") == 1;
  }

  bool is_vector(ValueId id) const {
    const Value& value = graph_.value(id);
    if (is_persistent(value.role)) return true;
    const Shape& shape = value.type.shape;  // a gate: one number a channel
    return shape.size() == 4 && shape[1] == 1 && shape[2] == 1;
  }

  // The operand that a node scales, shifts, pads or normalises, position by position.
  std::optional<ValueId> passes(const Node& node) const {
    if (is_one_of(node, {&kBatchNormInference, &kGroupNorm, &kPad})) return node.input(0);
    if (!is_one_of(node, {&kMul, &kAdd}) || node.inputs.size() != 2) return std::nullopt;
    for (const size_t i : {0u, 1u}) {
      if (is_vector(node.input(1 - i)) && !is_vector(node.input(i))) return node.input(i);
    }
    return std::nullopt;
  }

  // Up to the convolution that a value comes from.
  std::optional<Walk> walk_up(ValueId at) const {
    for (Walk walk;;) {
      walk.node = graph_.value(at).producer;
      if (walk.node == kNoNode) return std::nullopt;
      const Node& node = graph_.node(walk.node);
      if (is_convolution(node)) return walk;
      const std::optional<ValueId> through =
          is_activation(node) ? std::optional(node.input(0)) : passes(node);
      if (!through.has_value()) return std::nullopt;
      walk.past_activation = walk.past_activation || is_activation(node);
      at = *through;
    }
  }

  // The value behind a convolution's own normalisation.
  ValueId end_of(const Node& convolution) const {
    ValueId end = convolution.output();
    while (readers_[index(end)].size() == 1) {
      const Node& reader = graph_.node(readers_[index(end)][0]);
      const bool is_norm = is_one_of(reader, {&kBatchNormInference, &kGroupNorm}) ||
                           (is_one_of(reader, {&kMul, &kAdd}) && passes(reader) == end &&
                            std::ranges::any_of(reader.inputs, [&](ValueId id) {
                              return is_parameter(graph_.value(id).role);
                            }));
      if (!is_norm) break;
      end = reader.output();
    }
    return end;
  }

  bool has_activation_behind(ValueId value) const {
    const auto& behind = readers_[index(value)];
    return std::ranges::any_of(behind, [&](NodeId id) { return is_activation(graph_.node(id)); });
  }

  // What a depthwise convolution reads, before padding.
  ValueId unpadded(ValueId at) const {
    const NodeId producer = graph_.value(at).producer;
    const bool is_pad = producer != kNoNode && graph_.node(producer).op == &kPad;
    return is_pad ? graph_.node(producer).input(0) : at;
  }

  ValueId unpooled(ValueId at) const {
    const NodeId producer = graph_.value(at).producer;
    const bool is_pool = producer != kNoNode && graph_.node(producer).op == &kAveragePool;
    return is_pool ? graph_.node(producer).input(0) : at;
  }

  std::optional<Block> around_depthwise(const Node& last) {
    const std::optional<Walk> depthwise = walk_up(last.input(0));
    if (!depthwise.has_value() || graph_.node(depthwise->node).op != &kDepthwiseConv2d) {
      return std::nullopt;
    }
    Block block{.name = last.name, .input = {}, .output = end_of(last)};
    block.input = unpadded(graph_.node(depthwise->node).input(0));
    if (has_activation_behind(block.output)) {
      block.kind = BlockKind::kSeparable;
      return block;
    }
    const std::optional<Walk> expand = walk_up(block.input);
    const bool expands = expand.has_value() && is_pointwise(graph_.node(expand->node)) &&
                         expand->past_activation && readers_[index(block.input)].size() == 1;
    if (expands) {
      const Node& first = graph_.node(expand->node);
      block.input = first.input(0);
      // With a depthwise convolution in front it had looked like the end of a separable block.
      std::erase_if(blocks_, [&](const Block& b) { return b.name == first.name; });
    }
    const bool is_first = !met_inverted_;
    met_inverted_ = true;
    if (is_first && !expands) return std::nullopt;
    return block;
  }

  // Convolutions, two or more, from `end` up to `source`; none may be depthwise.
  bool is_branch(ValueId end, ValueId source) const {
    constexpr int kMost = 4;
    for (int convolutions = 1; convolutions <= kMost; ++convolutions) {
      const std::optional<Walk> walk = walk_up(end);
      if (!walk.has_value() || graph_.node(walk->node).op != &kConv2d) return false;
      if (convolutions == 1 && walk->past_activation) return false;
      end = unpadded(graph_.node(walk->node).input(0));
      if (convolutions >= 2 && end == source) return true;
    }
    return false;
  }

  std::optional<Block> beside_shortcut(const Node& add) const {
    if (shape_of(add.input(0)) != shape_of(add.input(1)) || shape_of(add.input(0)).size() != 4) {
      return std::nullopt;
    }
    for (const size_t i : {0u, 1u}) {
      const ValueId main = add.input(i), shortcut = add.input(1 - i);
      std::vector<ValueId> sources{shortcut};
      const std::optional<Walk> projection = walk_up(shortcut);
      if (projection.has_value() && !projection->past_activation) {
        sources.push_back(unpooled(unpadded(graph_.node(projection->node).input(0))));
      }
      for (const ValueId source : sources) {
        if (!is_branch(main, source)) continue;
        return Block{BlockKind::kResidual, graph_.node(walk_up(main)->node).name, source, main};
      }
    }
    return std::nullopt;
  }

  const Graph& graph_;
  const std::vector<std::vector<NodeId>> readers_;
  std::vector<Block> blocks_;
  bool met_inverted_ = false;
};

}  // namespace

const char* name_of(BlockKind kind) {
  switch (kind) {
    case BlockKind::kInvertedResidual:
      return "inverted residual";
    case BlockKind::kSeparable:
      return "separable";
    case BlockKind::kResidual:
      return "residual";
  }
  return "?";
}

std::vector<Block> find_blocks(const Graph& graph) { return Finder(graph).run(); }

}  // namespace tinytl

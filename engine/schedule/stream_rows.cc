#include "engine/schedule/stream_rows.h"

#include "engine/ops/conv_chain.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

enum { kX, kW, kB, kInputs };

constexpr int64_t kShortestRow = 8;  // pixels; a vector kernel takes some at once

class Chains {
 public:
  explicit Chains(Graph& graph)
      : graph_(graph), readers_(graph.values().size(), 0), reader_(graph.values().size(), kNoNode) {
    for (size_t n = 0; n < graph.nodes().size(); ++n) {
      for (const ValueId id : graph.nodes()[n].inputs) {
        ++readers_[index(id)];
        reader_[index(id)] = NodeId{static_cast<uint32_t>(n)};
      }
    }
    for (const ValueId id : graph.outputs) ++readers_[index(id)];
    gone_.resize(graph.nodes().size(), false);
  }

  void run() {
    for (size_t n = 0; n < graph_.nodes().size(); ++n) {
      const NodeId id{static_cast<uint32_t>(n)};
      if (!gone_[n] && is_layer(id)) join(chain_from(id));
    }
    std::vector<NodeId> kept;
    for (size_t n = 0; n < gone_.size(); ++n) {
      if (!gone_[n]) kept.push_back(NodeId{static_cast<uint32_t>(n)});
    }
    if (kept.size() < gone_.size()) graph_.keep_nodes(kept);
  }

 private:
  bool is_layer(NodeId id) const {
    const Node& node = graph_.node(id);
    return (node.op == &kQConv2d || node.op == &kQDepthwiseConv2d) &&
           node.inputs.size() == kInputs && node.phase == Phase::kForward &&
           graph_.value(node.output()).type.dim(2) >= kShortestRow;
  }

  // That reads the result of `id`, as the same numbers, and is its only reader.
  NodeId next_layer(NodeId id) const {
    const Node& node = graph_.node(id);
    const ValueId y = node.output();
    const NodeId reader = reader_[index(y)];
    if (readers_[index(y)] != 1 || reader == kNoNode || !is_layer(reader)) return kNoNode;
    const Node& next = graph_.node(reader);
    const Attributes &a = node.attributes, &b = next.attributes;
    const bool fits = next.input(kX) == y && a.number("y_scale") == b.number("x_scale") &&
                      a.integer("y_zero") == b.integer("x_zero") &&
                      a.integer("fixed_point") == b.integer("fixed_point");
    return fits ? reader : kNoNode;
  }

  std::vector<NodeId> chain_from(NodeId first) const {
    std::vector<NodeId> chain{first};
    while (chain.size() < kMostChained) {
      const NodeId next = next_layer(chain.back());
      if (next == kNoNode) break;
      chain.push_back(next);
    }
    return chain;
  }

  void join(const std::vector<NodeId>& chain) {
    if (chain.size() < 2) return;
    std::vector<ValueId> inputs{graph_.node(chain[0]).input(kX)};
    std::vector<int64_t> depthwise, strides, pads, dilations, groups, low, high;
    const Attributes& first = graph_.node(chain[0]).attributes;
    std::vector<int64_t> zero{first.integer("x_zero")};
    std::vector<float> scale{first.number("x_scale")};
    for (const NodeId id : chain) {
      const Node& node = graph_.node(id);
      const Attributes& a = node.attributes;
      const auto append = [&](std::vector<int64_t>& to, const char* name) {
        const auto list = a.integers(name);
        to.insert(to.end(), list.begin(), list.end());
      };
      inputs.insert(inputs.end(), {node.input(kW), node.input(kB)});
      depthwise.push_back(node.op == &kQDepthwiseConv2d);
      groups.push_back(depthwise.back() != 0 ? 1 : a.integer("groups"));
      append(strides, "strides");
      append(pads, "pads");
      append(dilations, "dilations");
      low.push_back(a.integer("y_low"));
      high.push_back(a.integer("y_high"));
      zero.push_back(a.integer("y_zero"));
      scale.push_back(a.number("y_scale"));
      if (id == chain.back()) continue;
      gone_[index(id)] = true;
      graph_.value(node.output()).producer = kNoNode;
    }
    Node& last = graph_.node(chain.back());
    last.attributes = {{"depthwise", depthwise}, {"strides", strides},
                       {"pads", pads},           {"dilations", dilations},
                       {"groups", groups},       {"y_low", low},
                       {"y_high", high},         {"zero", zero},
                       {"scale", scale},         {"fixed_point", first.integer("fixed_point")}};
    last.op = &kQConvChain;
    last.inputs = std::move(inputs);
  }

  Graph& graph_;
  std::vector<size_t> readers_;  // by value: how many
  std::vector<NodeId> reader_;   // by value: the last of them
  std::vector<bool> gone_;       // by node
};

}  // namespace

void stream_rows(Graph& graph) { Chains(graph).run(); }

}  // namespace tinytl

#include "engine/schedule/recompute.h"

#include <algorithm>

#include "engine/ops/passes.h"
#include "engine/schedule/cost.h"
#include "engine/schedule/saves.h"

namespace tinytl {
namespace {

// Copies a graph node by node, and forward nodes a second time where late ones need them.
class Rewrite {
 public:
  Rewrite(const Graph& graph, std::span<const ValueId> dropped)
      : graph_(graph),
        saves_(graph),
        dropped_(saves_.set_of(dropped)),
        kept_(saves_.kept(dropped_)),
        ids_(graph.values().size(), ValueId{UINT32_MAX}),
        clones_(ids_),
        is_cloned_(graph.nodes().size(), false),
        readers_of_persistent_(graph.values().size()) {
    for (const NodeId id : saves_.to_repeat(dropped_)) {
      for (const ValueId input : graph.node(id).inputs) {
        const ValueId root = saves_.root(input);
        if (is_persistent(graph.value(root).role))
          readers_of_persistent_[index(root)].push_back(id);
      }
    }
  }

  Graph run(std::vector<ValueId>* new_ids) {
    result_ = without_nodes(graph_, ids_);
    for (size_t n = 0; n < graph_.nodes().size(); ++n) copy(NodeId(n));
    for (const ValueId id : graph_.outputs) result_.outputs.push_back(ids_[index(id)]);
    std::vector<ValueId> pruned;
    result_ = prune(result_, &pruned);
    for (ValueId& id : ids_) {
      if (id != ValueId{UINT32_MAX}) id = pruned[index(id)];
    }
    if (new_ids != nullptr) *new_ids = std::move(ids_);
    return std::move(result_);
  }

 private:
  void copy(NodeId id) {
    const Node& node = graph_.node(id);
    TT_ASSERT(node.phase != Phase::kRecompute);
    const bool is_late = saves_.is_late(id, dropped_);
    if (is_late) prepare(node.inputs);
    clone_readers_of_what_it_overwrites(id);
    append(node, node.phase, is_late ? clones_ : ids_, ids_);
  }

  void clone_readers_of_what_it_overwrites(NodeId id) {
    const Node& node = graph_.node(id);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if ((node.op->mutates >> i & 1) == 0) continue;
      for (const NodeId reader : readers_of_persistent_[index(saves_.root(node.inputs[i]))]) {
        if (reader < id) clone(reader);
      }
    }
  }

  // Clones what computes those of `inputs` that are not kept.
  void prepare(std::span<const ValueId> inputs) {
    for (const ValueId input : inputs) {
      const NodeId producer = graph_.value(input).producer;
      if (kept_[index(saves_.root(input))] || !saves_.is_forward(producer)) {
        clones_[index(input)] = ids_[index(input)];
      } else {
        clone(producer);
      }
    }
  }

  void clone(NodeId id) {
    if (is_cloned_[index(id)]) return;
    is_cloned_[index(id)] = true;
    prepare(graph_.node(id).inputs);
    append(graph_.node(id), Phase::kRecompute, clones_, clones_);
  }

  void append(Node node, Phase phase, const std::vector<ValueId>& from, std::vector<ValueId>& to) {
    const std::vector<ValueId> outputs = node.outputs;
    for (ValueId& input : node.inputs) input = from[index(input)];
    node.phase = phase;
    const NodeId added = result_.append(std::move(node), types_of(graph_, outputs));
    for (size_t j = 0; j < outputs.size(); ++j) {
      const ValueId id = result_.node(added).outputs[j];
      to[index(outputs[j])] = id;
      result_.value(id).name = graph_.value(outputs[j]).name;
    }
  }

  const Graph& graph_;
  const Saves saves_;
  const Saves::Set dropped_, kept_;
  Graph result_;
  std::vector<ValueId> ids_;                                // by old value: in the result
  std::vector<ValueId> clones_;                             // by old value: what late nodes read
  std::vector<bool> is_cloned_;                             // by old node
  std::vector<std::vector<NodeId>> readers_of_persistent_;  // by old value: nodes to clone
};

}  // namespace

Graph recompute(const Graph& graph, std::span<const ValueId> dropped,
                std::vector<ValueId>* new_ids) {
  return Rewrite(graph, dropped).run(new_ids);
}

std::vector<RecomputeCandidate> recompute_candidates(const Graph& graph, int threads) {
  const Saves saves(graph);
  std::vector<RecomputeCandidate> candidates;
  for (const ValueId id : saves.droppable()) {
    const Saves::Set dropped = saves.set_of({&id, 1});
    const int64_t bytes = saves.freed_bytes(dropped);
    if (bytes <= 0) continue;
    RecomputeCandidate candidate{id, static_cast<size_t>(bytes)};
    for (const NodeId n : saves.to_repeat(dropped)) {
      candidate.seconds += node_seconds(graph, graph.node(n), threads);
    }
    candidates.push_back(candidate);
  }
  return candidates;
}

}  // namespace tinytl

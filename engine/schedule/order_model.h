// The bytes alive under any order of a graph, without assigning buffers for each.
//
// What is alive after some nodes have run depends on which have run, not on their order: a node
// that works in place starts one buffer where another ends, both of the same size. So a search may
// move nodes about and look at the changed steps only.
#pragma once

#include <span>
#include <vector>

#include "engine/ops/op.h"

namespace tinytl {

// What a node does to the bytes in the arena.
struct StepBytes {
  size_t extra = 0;    // alive while it runs, besides what was alive before
  size_t written = 0;  // starts to live
  size_t freed = 0;    // read or written here, and dead afterwards
};

// The values that live in the same bytes under every order form a group: a value and its views; the
// parts of a concatenation and the whole. Agrees with assign_buffers and live_bytes_bound.
class OrderModel {
 public:
  // O(nodes + edges).
  OrderModel(const Graph& graph, const tt_kernels& kernels, int threads = 1, size_t alignment = 64);

  struct Group {
    size_t bytes = 0;  // aligned
    bool input = false, kept = false;
    std::vector<uint32_t> readers, writers;  // nodes
  };
  // Output 0 of a node may take the bytes of `group`, if that dies here.
  struct Sharing {
    uint32_t group = 0;
    size_t scratch = 0;  // then, instead of Step::scratch
  };
  struct Step {
    std::vector<uint32_t> reads, writes;  // groups
    std::vector<Sharing> sharings;        // the first that dies is taken
    size_t output = 0;                    // bytes of output 0, aligned
    size_t scratch = 0;                   // aligned
  };

  const std::vector<Group>& groups() const { return groups_; }
  const std::vector<Step>& steps() const { return steps_; }  // by node
  size_t input_bytes() const;                                // alive before anything runs

  // `starts(g)`: nothing of the group was written before. `dies(g)`: nobody reads it after `node`.
  template <typename Starts, typename Dies>
  StepBytes bytes_of(uint32_t node, Starts starts, Dies dies) const {
    const Step& step = steps_[node];
    StepBytes result;
    for (const uint32_t g : step.writes) {
      if (starts(g)) result.written += groups_[g].bytes;
      if (groups_[g].readers.empty() && !groups_[g].kept) result.freed += groups_[g].bytes;
    }
    for (const uint32_t g : step.reads) {
      if (dies(g)) result.freed += groups_[g].bytes;
    }
    result.extra = result.written + step.scratch;
    for (const Sharing& sharing : step.sharings) {
      if (!dies(sharing.group)) continue;
      result.extra = result.written - step.output + sharing.scratch;
      break;
    }
    return result;
  }

 private:
  class Builder;
  std::vector<Group> groups_;
  std::vector<Step> steps_;
};

// Runs an order on the model, node by node.
class Replay {
 public:
  explicit Replay(const OrderModel& model);

  // Bytes alive while it runs.
  size_t run(uint32_t node);

  size_t live() const { return live_; }  // between steps
  bool started(uint32_t group) const { return started_[group]; }
  // Nodes that have yet to read it, and one more for an output of the graph.
  uint32_t waiting(uint32_t group) const { return waiting_[group]; }
  bool alive(uint32_t group) const { return started_[group] && waiting_[group] > 0; }

 private:
  const OrderModel& model_;
  std::vector<uint32_t> waiting_;
  std::vector<char> started_;
  size_t live_;
};

// The fullest step of an order, and how many are as full. What a search makes smaller.
struct Peak {
  size_t bytes = 0;
  size_t steps = 0;
  size_t first = 0;  // of them

  bool operator<(const Peak& other) const {
    return bytes != other.bytes ? bytes < other.bytes : steps < other.steps;
  }
};
// Bytes alive at every step.
std::vector<size_t> profile_of(const OrderModel& model, std::span<const uint32_t> order);
Peak peak_of(std::span<const size_t> profile);

}  // namespace tinytl

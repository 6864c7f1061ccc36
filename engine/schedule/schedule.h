// The order in which the nodes of a graph run, and the buffers their values live in.
#pragma once

#include <optional>
#include <vector>

#include "engine/memory/planner.h"
#include "engine/ops/op.h"

namespace tinytl {

struct ScheduleOptions {
  // All update nodes behind all others, so that a step can run without them (accumulation).
  bool updates_last = false;
  // False: the order of the graph, as near as updates_last allows. For comparisons.
  bool reorder = true;
  // False: every value in bytes of its own (assign_buffers). For comparisons.
  bool share = true;
  // False: every node by itself, as fuse_layers found them. For comparisons.
  bool fuse = true;
  // That compute the parts of a node (parts.h); its scratch is that of all parts.
  int threads = 1;
  // Of plan_memory: 0 for plans that are only compared, greedy and fast.
  size_t placement_effort = kSearchEffort;
};

struct Schedule {
  std::vector<NodeId> order;
  size_t first_update = 0;  // with updates_last: index into `order`; else order.size()
  int threads = 1;          // of the options
};

// A valid order with a small peak of live bytes, as assign_buffers and live_bytes_bound count them.
//
// Starts from the order of the graph, where
//  - an update runs as soon as its gradient exists and nobody still reads the old parameter,
//  - a node of the backward pass that reads forward values only and writes less than it reads (a
//    bit mask, an argmax) runs at once, so that what it reads can go,
//  - recomputation, and nodes that read persistent values only, wait until they are needed;
// and moves nodes where that makes the fullest step smaller (lower_peak in order.h). Deterministic.
// `kernels`, whose scratch counts: tt_best_kernels() unless given. A millisecond or two for
// hundreds of nodes; quadratic in the overwritings of one value by its readers, else about linear.
Schedule schedule(const Graph& graph, const ScheduleOptions& options = {},
                  const tt_kernels* kernels = nullptr);

// Which values share bytes, and from when to when. Step i is node `order[i]`.
//
// A view (OpDef::view_offset) is part of its input. Values that a node would only copy together
// (OpDef::part_offset) are written where they belong. An operator that may work in place
// (OpDef::in_place) does so when nothing reads that input, or anything sharing its bytes, later.
// Inputs of the graph are alive from step 0, outputs to the last step. Scratch is a buffer that
// lives for one step.
struct Buffers {
  std::vector<Lifetime> lifetimes;                // what plan_memory places
  std::vector<std::optional<size_t>> of_value;    // buffer; empty: outside the arena, or unused
  std::vector<std::optional<size_t>> of_scratch;  // by node
  std::vector<ValueId> root;   // by value: itself, or the persistent value it is a view of
  std::vector<size_t> offset;  // by value: bytes from the start of its buffer, or of its root
  std::vector<bool> elided;    // by node: its outputs are in place without running it
  // By buffer: the values in it in order of writing; empty for scratch. For reports.
  std::vector<std::vector<ValueId>> values;
  std::vector<NodeId> scratch_node;  // by buffer: the node whose scratch it is, or kNoNode
};

// Room for working out of place where that is faster.
struct Room {
  std::vector<size_t> live;  // by step: bytes alive where all that may work in place does
  size_t most = 0;           // that may be alive at any step
};

// With `room`, an operator that needs scratch to work in place (OpDef::in_place_scratch) does so
// only at steps without room for its result.
Buffers assign_buffers(const Graph& graph, const Schedule& schedule, const tt_kernels& kernels,
                       bool share = true, const Room* room = nullptr);

}  // namespace tinytl

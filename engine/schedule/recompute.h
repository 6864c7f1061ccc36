// Recomputation: values of the forward pass that are not kept for the backward pass, but computed
// again when it reads them.
#pragma once

#include <functional>
#include <vector>

#include "engine/schedule/schedule.h"

namespace tinytl {

// The training graph in which the backward pass reads copies of the `dropped` forward values.
//
// A copy is computed by clones of forward nodes (Phase::kRecompute) from inputs, persistent values
// and what the backward pass keeps anyway, through as many nodes as it takes; each forward node is
// cloned at most once, right before the first reader of what it writes, and before any update of a
// parameter it reads. Views of a dropped value are dropped with it. A value that comes from a node
// which overwrites something, an input or an output of the graph stays as it is. The numbers are
// the same to the bit.
//
// `graph` must not hold recomputation already. `new_ids`, by old value: its id in the result, of a
// dropped one that of the forward pass (ValueId{UINT32_MAX} where nothing reads it any more).
// O(edges).
Graph recompute(const Graph& graph, std::span<const ValueId> dropped,
                std::vector<ValueId>* new_ids = nullptr);

struct RecomputeCandidate {
  ValueId value;
  size_t bytes = 0;    // no longer kept; less what must be kept to compute it
  double seconds = 0;  // to compute it again, on the reference machine (cost.h)
};

// The values worth dropping, one by one from `graph` as it is. Values that share bytes are one
// candidate; one whose computation keeps as much as it frees is none. O(candidates * edges).
std::vector<RecomputeCandidate> recompute_candidates(const Graph& graph, int threads = 1);

struct RecomputeChoice {
  bool fits = false;
  std::vector<ValueId> dropped;  // where nothing fits: the set with the smallest arena found
  size_t arena_bytes = 0;        // of `dropped`, by arena_of
  double extra_seconds = 0;      // a step takes longer by, on the reference machine
};

// The cheapest set found whose arena fits, from among the 100 largest saved values. Searches in a
// model of the live bytes along the schedule and asks `arena_of` for the plan of at most 60 graphs,
// made with these kernels and options. The same on every run and machine if `arena_of` is.
// O(candidates^2 * edges): 0.1 to 1 s for 50 candidates.
RecomputeChoice choose_recompute(const Graph& graph, size_t arena_budget,
                                 const std::function<size_t(const Graph&)>& arena_of,
                                 const tt_kernels& kernels, const ScheduleOptions& options = {});

}  // namespace tinytl

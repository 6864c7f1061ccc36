// Meeting a memory budget with levers that change no number beyond rounding: micro-batches, running
// the front of the network in pieces, and recomputation.
#pragma once

#include <string>
#include <vector>

#include "engine/schedule/tile.h"
#include "optim/optimizer.h"

namespace tinytl {

struct Levers {
  int64_t micro_batch = 1;               // samples that run at once
  std::vector<Tiling> tilings = {};      // of the network at that micro-batch
  std::vector<ValueId> recomputed = {};  // of the training graph of that; see apply_recomputation
};

struct StepGraphs {
  TrainingGraph training;
  Graph inference;
  Loss::Kind loss = Loss::Kind::kSoftmaxCrossEntropy;
};

// The network at any micro-batch. build() returns the same graphs each time it is asked.
class StepSource {
 public:
  virtual ~StepSource() = default;
  // What the tilings are of. Valid until the next call with another micro-batch.
  virtual const Graph& network(int64_t micro_batch) = 0;
  virtual StepGraphs build(int64_t micro_batch, std::span<const Tiling> tilings) = 0;
};

// The training graph with the chosen values computed again in the backward pass.
void apply_recomputation(TrainingGraph& training, std::span<const ValueId> values);

struct Budget {
  size_t training_memory = SIZE_MAX;  // arena, trainable, optimizer and frozen
  size_t arena = SIZE_MAX;
};

// A plan with some of the levers, and what it takes. Seconds are those of the cost model on its
// reference machine (engine/schedule/cost.h), for a whole batch.
struct PlannedStep {
  std::string what;  // the lever that was added last: "micro-batches of 1"
  size_t arena_bytes = 0, training_memory_bytes = 0;
  double seconds = 0;
};

struct BudgetChoice {
  bool fits = false;
  Levers levers;                   // where nothing fits: those of the smallest plan found
  std::vector<PlannedStep> steps;  // the plan without levers first, then lever by lever
};

// The fastest combination found that fits, as the cost model counts time. `micro_batches` are the
// sizes allowed, the whole batch first, the others falling. `threads` compute: each needs scratch.
// The same on every run and machine. Where nothing fits, the last of `steps` is the smallest plan:
// given as the budget, it fits, and any budget below is refused with the same. Without a limit no
// region is cut and nothing recomputed.
//
// Regions at the fullest steps are cut into more and more pieces; where that is not enough, or
// could be slower, values are recomputed; cuts that were not needed are taken back. 20 to 100 plans
// of 2 to 20 ms, and at most three searches by choose_recompute, which take most of the time: below
// a second for a bias update of MobileNetV2, several for a full one in little more than the
// smallest budget.
BudgetChoice fit_budget(StepSource& source, const Budget& budget, int64_t batch_size,
                        std::span<const int64_t> micro_batches, int threads = 1);

}  // namespace tinytl

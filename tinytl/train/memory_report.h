// The memory of training, in the exact words every table uses. All bytes.
#pragma once

#include "engine/runtime/program.h"
#include "optim/optimizer.h"

namespace tinytl {

struct MemoryReport {
  size_t arena = 0;        // activations, saved tensors, gradients, scratch; evaluation reuses it
  size_t inference = 0;    // the arena that evaluation alone needs
  size_t lower_bound = 0;  // of the arena: no placement in this order can be smaller
  size_t trainable = 0;    // parameters that learn, of a weight the channels that do
  size_t optimizer = 0;    // their state, gradient accumulators, running statistics of norms
  size_t frozen = 0;       // the rest of the parameters and constants, copies included
  size_t xnnpack = 0;      // of frozen: what XNNPACK holds for the layers that it runs
  size_t saved = 0;        // of the arena: what the backward pass keeps of the forward pass
  int64_t trainable_scalars = 0;

  size_t training_memory() const { return arena + trainable + optimizer + frozen; }
  size_t adaptation_memory() const { return training_memory() - frozen; }
  double gap() const { return lower_bound == 0 ? 0.0 : double(arena) / double(lower_bound) - 1.0; }
};

// `step` is the compiled form of `training`; `inference` shares its arena.
MemoryReport report_memory(const TrainingGraph& training, const Program& step,
                           const Program& inference);

}  // namespace tinytl

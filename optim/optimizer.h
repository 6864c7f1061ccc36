// Optimizers as graph nodes: one update node for every gradient, and the state it needs.
#pragma once

#include <map>
#include <optional>

#include "autodiff/differentiate.h"

namespace tinytl {

struct OptimizerOptions {
  // The last two keep their state in 8 bits, in blocks (Dettmers et al., ICLR 2022).
  enum class Kind : uint8_t { kSgd, kAdam, kAdamW, kAdam8bit, kAdamW8bit };
  Kind kind = Kind::kAdam;
  float momentum = 0.9f;  // SGD; 0: no state
  bool nesterov = false;  // SGD
  float beta1 = 0.9f;     // Adam, AdamW
  float beta2 = 0.999f;   // Adam, AdamW
  float epsilon = 1e-8f;  // Adam, AdamW
  float weight_decay =
      0.0f;                // added to the gradient; decoupled in AdamW (Loshchilov & Hutter 2019)
  float clip_norm = 0.0f;  // > 0: gradients are scaled so that their global norm is at most this
  // Of 8-bit weights and their biases, which kSgd trains without momentum or weight decay:
  // gradients are scaled to move them as they would in floats (Lin et al., MCUNetV3, NeurIPS 2022);
  // moved parameters are rounded at random, not to the nearest.
  bool qas = true;
  bool stochastic_rounding = false;
  int accumulation_steps = 1;  // micro-batches whose mean gradient makes one update
};

// A whole training step. All ids refer to `graph`; inputs must be written before every step.
struct TrainingGraph {
  Graph graph;
  ValueId prediction, target, loss;
  std::vector<ParameterGradient> trained;  // `gradient` is valid until its update has run
  std::map<Group, ValueId> learning_rate;  // input f32[1]
  std::optional<ValueId> adam_correction;  // input f32[2]: 1 - beta1^t, 1 - beta2^t, t from 1
  float beta1 = 0, beta2 = 0;              // of it
  int accumulation_steps = 1;
};

// Puts a rewritten graph in the place of training.graph. `ids`: the new id of each old value.
void replace_graph(TrainingGraph& training, Graph graph, std::span<const ValueId> ids);

// Appends an update node for each gradient, with global-norm clipping and accumulation where asked.
// With accumulation the updates must be scheduled last (ScheduleOptions::updates_last) and only
// every accumulation_steps-th step may apply them.
TrainingGraph append_updates(GradientGraph gradients, const OptimizerOptions& options);

}  // namespace tinytl

#include "tinytl/train/memory_report.h"

#include <algorithm>

#include "engine/ops/weight_channels.h"

namespace tinytl {

MemoryReport report_memory(const TrainingGraph& training, const Program& step,
                           const Program& inference) {
  MemoryReport report;
  report.arena = std::max(step.plan.arena_bytes, inference.plan.arena_bytes);
  report.inference = inference.plan.arena_bytes;
  report.lower_bound = std::max(step.plan.lower_bound_bytes, inference.plan.lower_bound_bytes);
  const PersistentBytes persistent = persistent_bytes(step.graph);
  for (const ParameterGradient& p : training.trained) {
    const TensorType type = channels_of(step.graph.value(p.parameter).type, p.channels);
    report.trainable += type.bytes();
    report.trainable_scalars += type.elements();
  }
  report.optimizer = persistent.state;
  report.frozen = persistent.parameters - report.trainable;
  std::vector<bool> counted(step.buffers.lifetimes.size(), false);
  for (const ValueId id : saved_values(step.graph)) {
    const auto buffer = step.buffers.of_value[index(id)];
    if (!buffer.has_value() || counted[*buffer]) continue;
    counted[*buffer] = true;
    report.saved += step.buffers.lifetimes[*buffer].bytes;
  }
  return report;
}

}  // namespace tinytl

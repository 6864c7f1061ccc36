// A graph with everything decided: order, buffers, offsets.
#pragma once

#include "engine/schedule/schedule.h"

namespace tinytl {

struct Program {
  Graph graph;
  Schedule schedule;
  Buffers buffers;
  MemoryPlan plan;
};

// schedule, assign_buffers, plan_memory, and check_plan on the result (a wrong plan is a defect and
// aborts). `kernels` because scratch depends on them.
Program compile(Graph graph, const tt_kernels& kernels, const ScheduleOptions& options = {});

// Bytes by role of the values kept outside the arena, as they are stored (design: exact words).
struct PersistentBytes {
  size_t parameters = 0;  // weights and biases, trained or not, and constants
  size_t state = 0;       // optimizer state, gradient accumulators, running statistics
};
PersistentBytes persistent_bytes(const Graph& graph);

}  // namespace tinytl

#include "engine/runtime/program.h"

#include "engine/ops/passes.h"

namespace tinytl {

Program compile(Graph graph, const tt_kernels& kernels, const ScheduleOptions& options) {
  verify(graph);
  Program program;
  program.graph = std::move(graph);
  program.schedule = schedule(program.graph, options, &kernels);
  program.buffers = assign_buffers(program.graph, program.schedule, kernels, options.share);
  program.plan = plan_memory(program.buffers.lifetimes, 64, options.placement_effort);
  TT_ASSERT(check_plan(program.buffers.lifetimes, program.plan).empty());
  return program;
}

PersistentBytes persistent_bytes(const Graph& graph) {
  PersistentBytes bytes;
  for (const Value& value : graph.values()) {
    if (value.role == Role::kState) bytes.state += value.type.bytes();
    if (is_parameter(value.role) || value.role == Role::kConstant) {
      bytes.parameters += value.type.bytes();
    }
  }
  return bytes;
}

}  // namespace tinytl

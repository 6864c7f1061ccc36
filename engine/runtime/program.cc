#include "engine/runtime/program.h"

#include <algorithm>

#include "engine/ops/passes.h"
#include "engine/schedule/fuse_layers.h"
#include "engine/schedule/stream_rows.h"

namespace tinytl {
namespace {

void place(Program& program, Buffers buffers, const ScheduleOptions& options) {
  program.plan = plan_memory(buffers.lifetimes, 64, options.placement_effort);
  program.buffers = std::move(buffers);
}

Room room_in(const Buffers& buffers, const Schedule& schedule) {
  Room room;
  room.live = live_bytes_by_step(buffers.lifetimes, 64, schedule.order.size());
  for (const size_t bytes : room.live) room.most = std::max(room.most, bytes);
  return room;
}

// Fuses what raises no peak: with masks and moved updates, or without, or nothing.
template <class Assign>
void fuse(Program& program, const Assign& assign, Buffers& in_place, Room& room) {
  const Graph graph = program.graph;
  const Schedule schedule = program.schedule;
  for (const Room* const given :
       {static_cast<const Room*>(&room), static_cast<const Room*>(nullptr)}) {
    fuse_layers(program.graph, program.schedule, given);
    Buffers fused = assign(nullptr);
    Room fused_room = room_in(fused, program.schedule);
    if (fused_room.most <= room.most) {
      in_place = std::move(fused);
      room = std::move(fused_room);
      return;
    }
    program.graph = graph;
    program.schedule = schedule;
  }
}

// What is fused needs its bytes at other steps: another order may take less.
template <class Assign>
void reorder(Program& program, const Assign& assign, Buffers& in_place, Room& room,
             const tt_kernels& kernels, const ScheduleOptions& options) {
  const Schedule schedule = program.schedule;
  program.schedule = tinytl::schedule(program.graph, options, &kernels);
  Buffers buffers = assign(nullptr);
  Room again = room_in(buffers, program.schedule);
  if (again.most >= room.most) {
    program.schedule = schedule;
    return;
  }
  in_place = std::move(buffers);
  room = std::move(again);
}

// All that may work in place does; then, at steps with room below the same peak, what is faster out
// of place works so, unless that cannot be placed as well.
void assign_and_place(Program& program, const tt_kernels& kernels, const ScheduleOptions& options) {
  const auto assign = [&](const Room* room) {
    return assign_buffers(program.graph, program.schedule, kernels, options.share, room);
  };
  Buffers in_place = assign(nullptr);
  Room room = room_in(in_place, program.schedule);
  if (options.fuse) {
    fuse(program, assign, in_place, room);
    if (options.reorder) reorder(program, assign, in_place, room, kernels, options);
  }
  place(program, assign(&room), options);
  if (program.plan.arena_bytes == room.most) return;
  Buffers faster = std::move(program.buffers);
  MemoryPlan faster_plan = std::move(program.plan);
  place(program, std::move(in_place), options);
  if (faster_plan.arena_bytes > program.plan.arena_bytes) return;
  program.buffers = std::move(faster);
  program.plan = std::move(faster_plan);
}

}  // namespace

Program compile(Graph graph, const tt_kernels& kernels, const ScheduleOptions& options) {
  verify(graph);
  Program program;
  program.graph = std::move(graph);
  if (options.fuse) stream_rows(program.graph);
  program.schedule = schedule(program.graph, options, &kernels);
  assign_and_place(program, kernels, options);
  TT_ASSERT(check_plan(program.buffers.lifetimes, program.plan).empty());
  return program;
}

PersistentBytes persistent_bytes(const Graph& graph) {
  PersistentBytes bytes;
  for (const Value& value : graph.values()) {
    if (value.role == Role::kState || value.role == Role::kStatistic) {
      bytes.state += value.type.bytes();
    }
    if (is_parameter(value.role) || value.role == Role::kConstant) {
      bytes.parameters += value.type.bytes();
    }
  }
  return bytes;
}

}  // namespace tinytl

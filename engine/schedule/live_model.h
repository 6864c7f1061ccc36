// How many bytes are alive along a training step if some forward values are not kept: a model of
// schedule, assign_buffers and recompute together, quick enough for thousands of questions.
#pragma once

#include <array>

#include "engine/schedule/saves.h"
#include "engine/schedule/schedule.h"

namespace tinytl {

// Left out: gaps of the placement, parts that are written where they belong, and that an
// update waits for clones that read its parameter.
class LiveModel {
 public:
  LiveModel(const Graph& graph, const tt_kernels& kernels, const ScheduleOptions& options);

  struct Estimate {
    size_t peak_bytes = 0;
    double excess = 0;         // bytes above the limit, summed over the steps
    double extra_seconds = 0;  // of the clones
  };
  // O(edges).
  Estimate estimate(const Saves::Set& dropped, size_t limit);

  const Saves& saves() const { return saves_; }

 private:
  // Of a value or (from value count on) of its copy.
  using Slot = uint32_t;
  struct Step {
    size_t scratch = 0;
    Slot output = 0;
    std::array<Slot, 2> overwritable{kNone, kNone};  // inputs whose bytes the output may take
  };
  static constexpr Slot kNone = UINT32_MAX;

  void fetch(std::span<const ValueId> inputs);
  void repeat(NodeId id);
  void run(NodeId id, const std::vector<Slot>& from, std::vector<Slot>& to);
  void work_in_place();
  Estimate measure(size_t limit) const;

  const Graph& graph_;
  const Saves saves_;
  std::vector<NodeId> order_;
  std::vector<size_t> bytes_;               // by slot; 0 outside the arena
  std::vector<double> seconds_;             // by node
  std::vector<size_t> scratch_;             // by node
  std::vector<std::vector<uint8_t>> over_;  // by node: inputs it may work in place on
  std::vector<bool> is_view_;               // by node

  // Of the estimate that is being made.
  Saves::Set kept_;
  std::vector<Slot> slots_, copies_;  // by value: of itself; of what late nodes read
  std::vector<int> first_, last_;     // by slot: steps
  std::vector<bool> done_, put_off_;  // by node: ran as a clone; condenses what is not there yet
  std::vector<Step> steps_;
  double extra_seconds_ = 0;
};

}  // namespace tinytl

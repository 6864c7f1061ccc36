// How long the nodes of training steps take, recorded while they run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tinytl {

// All memory is taken at the start: eleven steps of 8 bytes a node and micro-batch, and two
// more numbers a node. Recording allocates nothing.
class StepTimes {
 public:
  // `nodes`: instructions of a step (Executor::instruction_nodes). Those from `first_update` on run
  // only where a micro-batch ends in an update. `parts`: micro-batches of a step.
  StepTimes(size_t nodes, size_t first_update, int64_t parts);

  // For Session: where to add the times of the micro-batch, and what it was. Part 0 begins a step,
  // the last part ends it; a step that is left before its end does not count.
  std::span<double> begin_part(int64_t part) noexcept;
  void end_part(int64_t part, bool updated) noexcept;

  // Steps that the means are of. The first of a run only counts while it is the only one: it
  // touches memory for the first time.
  int64_t steps() const { return steps_ - (steps_ > 1); }
  // Seconds and runs of a node in a step, on average; 0 before any step. No `node` out of range.
  double mean_seconds(size_t node) const;
  double mean_calls(size_t node) const;

  // Of the last ten steps, the one whose nodes took the median time: for each micro-batch the
  // seconds of the nodes that ran, in order. Empty before any step. Valid until the next one.
  std::vector<std::span<const double>> median_step() const;

 private:
  static constexpr int64_t kRecent = 10, kSlots = kRecent + 1;  // one is being written
  size_t slot_of(int64_t step, int64_t part) const;
  std::span<const double> of(int64_t step, int64_t part) const;  // of the nodes that ran
  double total_of(int64_t step) const;
  void end_step() noexcept;

  const size_t nodes_, first_update_;
  const int64_t parts_;
  int64_t steps_ = 0;
  std::vector<double> recent_;    // a ring: [step][part][node]
  std::vector<uint8_t> updated_;  // of them: [step][part]
  std::vector<double> seconds_;   // sums, by node
  std::vector<int64_t> calls_;    // sums, by node
};

}  // namespace tinytl

#include "tinytl/train/step_times.h"

#include <algorithm>
#include <utility>

namespace tinytl {

StepTimes::StepTimes(size_t nodes, size_t first_update, int64_t parts)
    : nodes_(nodes),
      first_update_(first_update),
      parts_(parts),
      recent_(nodes * static_cast<size_t>(kSlots * parts)),
      updated_(static_cast<size_t>(kSlots * parts)),
      seconds_(nodes),
      calls_(nodes) {}

size_t StepTimes::slot_of(int64_t step, int64_t part) const {
  return static_cast<size_t>(step % kSlots * parts_ + part);
}

std::span<const double> StepTimes::of(int64_t step, int64_t part) const {
  const size_t slot = slot_of(step, part);
  return std::span(recent_).subspan(slot * nodes_, updated_[slot] != 0 ? nodes_ : first_update_);
}

std::span<double> StepTimes::begin_part(int64_t part) noexcept {
  const auto seconds = std::span(recent_).subspan(slot_of(steps_, part) * nodes_, nodes_);
  std::ranges::fill(seconds, 0.0);
  return seconds;
}

void StepTimes::end_part(int64_t part, bool updated) noexcept {
  updated_[slot_of(steps_, part)] = updated;
  if (part == parts_ - 1) end_step();
}

void StepTimes::end_step() noexcept {
  if (steps_ == 1) {
    std::ranges::fill(seconds_, 0.0);
    std::ranges::fill(calls_, 0);
  }
  for (int64_t part = 0; part < parts_; ++part) {
    const std::span<const double> seconds = of(steps_, part);
    for (size_t node = 0; node < seconds.size(); ++node) {
      seconds_[node] += seconds[node];
      ++calls_[node];
    }
  }
  ++steps_;
}

double StepTimes::mean_seconds(size_t node) const {
  return seconds_[node] / static_cast<double>(std::max<int64_t>(1, steps()));
}

double StepTimes::mean_calls(size_t node) const {
  return static_cast<double>(calls_[node]) / static_cast<double>(std::max<int64_t>(1, steps()));
}

double StepTimes::total_of(int64_t step) const {
  double total = 0;
  for (int64_t part = 0; part < parts_; ++part) {
    for (const double seconds : of(step, part)) total += seconds;
  }
  return total;
}

std::vector<std::span<const double>> StepTimes::median_step() const {
  std::vector<std::pair<double, int64_t>> totals;
  for (int64_t step = std::max<int64_t>(0, steps_ - kRecent); step < steps_; ++step) {
    totals.emplace_back(total_of(step), step);
  }
  if (totals.empty()) return {};
  const auto middle = totals.begin() + static_cast<ptrdiff_t>((totals.size() - 1) / 2);
  std::nth_element(totals.begin(), middle, totals.end());
  std::vector<std::span<const double>> parts;
  for (int64_t part = 0; part < parts_; ++part) parts.push_back(of(middle->second, part));
  return parts;
}

}  // namespace tinytl

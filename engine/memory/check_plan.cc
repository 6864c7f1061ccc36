// Independent of planner.cc on purpose: step by step, what is alive, and whether it is apart.

#include <algorithm>
#include <set>
#include <utility>

#include "engine/memory/planner.h"

namespace tinytl {
namespace {

std::string name_of(size_t tensor) { return "tensor " + std::to_string(tensor); }

// Each tensor by itself.
std::string check_places(std::span<const Lifetime> tensors, const MemoryPlan& plan,
                         size_t alignment) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    const size_t room = plan.arena_bytes;
    if (plan.offsets[i] > room || tensors[i].bytes > room - plan.offsets[i]) {
      return name_of(i) + " leaves the arena";
    }
    if (plan.offsets[i] % alignment != 0) return name_of(i) + " is not aligned";
  }
  return "";
}

// The tensors alive now, by offset. As they are apart, one more overlaps one of them exactly if it
// overlaps its neighbour on either side.
class Alive {
 public:
  Alive(std::span<const Lifetime> tensors, const MemoryPlan& plan)
      : tensors_(tensors), plan_(plan) {}

  std::string add(size_t tensor) {
    const auto next = by_offset_.lower_bound({plan_.offsets[tensor], 0});
    if (next != by_offset_.end() && share_bytes(tensor, next->second)) {
      return complaint(tensor, next->second);
    }
    if (next != by_offset_.begin() && share_bytes(tensor, std::prev(next)->second)) {
      return complaint(tensor, std::prev(next)->second);
    }
    by_offset_.insert({plan_.offsets[tensor], tensor});
    return "";
  }

  void remove(size_t tensor) { by_offset_.erase({plan_.offsets[tensor], tensor}); }

 private:
  bool share_bytes(size_t a, size_t b) const {
    const size_t a_end = plan_.offsets[a] + tensors_[a].bytes;
    const size_t b_end = plan_.offsets[b] + tensors_[b].bytes;
    return std::max(plan_.offsets[a], plan_.offsets[b]) < std::min(a_end, b_end);
  }

  static std::string complaint(size_t a, size_t b) {
    return name_of(std::max(a, b)) + " and " + name_of(std::min(a, b)) +
           " share bytes while both are alive";
  }

  std::span<const Lifetime> tensors_;
  const MemoryPlan& plan_;
  std::set<std::pair<size_t, size_t>> by_offset_;  // offset, tensor
};

}  // namespace

std::string check_plan(std::span<const Lifetime> tensors, const MemoryPlan& plan,
                       size_t alignment) {
  if (plan.offsets.size() != tensors.size()) return "the plan misses tensors";
  std::string error = check_places(tensors, plan, alignment);
  if (!error.empty()) return error;

  // Births and deaths in the order of time. A tensor is alive in its last step, so that of one step
  // births come first.
  struct Event {
    int step;
    bool is_death;
    size_t tensor;
    auto operator<=>(const Event&) const = default;
  };
  std::vector<Event> events;
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].bytes == 0) continue;  // shares nothing
    events.push_back({tensors[i].first, false, i});
    events.push_back({tensors[i].last, true, i});
  }
  std::sort(events.begin(), events.end());
  Alive alive(tensors, plan);
  for (const Event& event : events) {
    if (event.is_death) {
      alive.remove(event.tensor);
      continue;
    }
    error = alive.add(event.tensor);
    if (!error.empty()) return error;
  }
  return "";
}

}  // namespace tinytl

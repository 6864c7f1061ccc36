// Independent of planner.cc on purpose: the definition, every pair.

#include <algorithm>

#include "engine/memory/planner.h"

namespace tinytl {

std::string check_plan(std::span<const Lifetime> tensors, const MemoryPlan& plan,
                       size_t alignment) {
  if (plan.offsets.size() != tensors.size()) return "the plan misses tensors";
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::string name = "tensor " + std::to_string(i);
    const size_t begin = plan.offsets[i], end = begin + tensors[i].bytes;
    if (end > plan.arena_bytes) return name + " leaves the arena";
    if (begin % alignment != 0) return name + " is not aligned";
    for (size_t j = 0; j < i; ++j) {
      const bool same_time =
          !(tensors[i].last < tensors[j].first || tensors[j].last < tensors[i].first);
      const size_t other_end = plan.offsets[j] + tensors[j].bytes;
      const bool same_bytes = std::max(begin, plan.offsets[j]) < std::min(end, other_end);
      if (same_time && same_bytes) {
        return name + " and tensor " + std::to_string(j) + " share bytes while both are alive";
      }
    }
  }
  return "";
}

}  // namespace tinytl

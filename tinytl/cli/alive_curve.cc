#include "tinytl/cli/alive_curve.h"

#include <algorithm>
#include <numeric>

namespace tinytl::cli {
namespace {

std::vector<size_t> alive_at_each_node(const Program& program) {
  const size_t steps = program.schedule.order.size();
  std::vector<size_t> change(steps + 1, 0);  // wraps, and adds up again
  for (const Lifetime& life : program.buffers.lifetimes) {
    const auto first = static_cast<size_t>(life.first), last = static_cast<size_t>(life.last);
    if (first >= steps) continue;
    change[first] += life.bytes;
    change[std::min(last + 1, steps)] -= life.bytes;
  }
  change.pop_back();
  std::partial_sum(change.begin(), change.end(), change.begin());
  return change;
}

}  // namespace

AliveCurve alive_curve(const Program& program, size_t most_points) {
  const std::vector<size_t> alive = alive_at_each_node(program);
  const size_t steps = alive.size(), points = std::min(steps, most_points);
  AliveCurve curve;
  for (size_t p = 0; p < points; ++p) {
    const auto begin = alive.begin() + static_cast<ptrdiff_t>(p * steps / points);
    const auto end = alive.begin() + static_cast<ptrdiff_t>((p + 1) * steps / points);
    curve.bytes.push_back(*std::max_element(begin, end));
  }
  size_t forward_ends = 0;
  for (size_t i = 0; i < steps; ++i) {
    if (program.graph.node(program.schedule.order[i]).phase == Phase::kForward) {
      forward_ends = i + 1;
    }
  }
  if (points > 0) curve.backward_begins = forward_ends * points / steps;
  return curve;
}

}  // namespace tinytl::cli

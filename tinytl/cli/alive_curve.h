// The memory of a step over its time, small enough to keep and to report.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/runtime/program.h"

namespace tinytl::cli {

// The bytes of the arena that are alive over the nodes of a step.
struct AliveCurve {
  std::vector<size_t> bytes;   // at each point the most of its nodes, so that no peak is lost
  size_t backward_begins = 0;  // the point at which the forward pass has ended
};

// At most `most_points` points, as few as the step has nodes. O(nodes + tensors).
AliveCurve alive_curve(const Program& program, size_t most_points);

}  // namespace tinytl::cli

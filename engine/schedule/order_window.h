// The best order of a few nodes that follow each other, by search.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "engine/schedule/order_model.h"
#include "engine/schedule/order_precedence.h"

namespace tinytl {

inline constexpr size_t kLargestWindow = 128;

struct WindowLimits {
  size_t enough = 0;  // a peak as small as this is as good as any
  size_t below = 0;   // orders that reach this are of no use
  size_t states = 0;  // sets of nodes to look at; reduced by those looked at
};

// An order of `window` with a smaller peak than `limits.below`, where `start` has run all nodes
// before it. Empty if there is none, or none was found. The smallest peak there is if the states
// suffice. At most kLargestWindow nodes.
//
// Asks for orders within a limit, which it finds by bisection. An order is found by depth-first
// search over sets of nodes, none visited twice. A node that frees at least what it writes, itself
// or a few nodes further on, runs at once: no order is better for waiting with it.
std::optional<std::vector<uint32_t>> best_order_of_window(const OrderModel& model,
                                                          const Precedence& precedence,
                                                          const Replay& start,
                                                          std::span<const uint32_t> window,
                                                          WindowLimits& limits);

}  // namespace tinytl

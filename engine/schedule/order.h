// The search for an order of small peak.
#pragma once

#include <span>
#include <vector>

#include "engine/schedule/order_model.h"
#include "engine/schedule/order_precedence.h"

namespace tinytl {

// `order` with a smaller peak of live bytes, or as it is where none is found.
//
// `order` must be valid. Nodes before place `border` stay before it, the others behind. Around the
// fullest step, as long as that helps: (a) the nodes near it are put in their best order, (b) a
// value that is alive there without being used is written later or read earlier, with what that
// takes along. Deterministic; stops where the fullest step is as small as its node allows in any
// order. O(hundreds of nodes + edges).
std::vector<uint32_t> lower_peak(const OrderModel& model, const Precedence& precedence,
                                 std::vector<uint32_t> order, size_t border);

// Bytes alive while `node` runs, under every order: what it reads, writes and needs, and what its
// predecessors leave for its successors. O(nodes + edges).
size_t floor_at(const OrderModel& model, const Precedence& precedence, uint32_t node);

// The largest floor_at: no order of this graph has a smaller peak, with the buffers that
// assign_buffers gives (views, in place, elided concatenations), unless nodes run twice. At a loss
// it counts every saved value and what the loss needs. Perhaps no order reaches it: what suits one
// node may cost another. For reports: O(nodes x (nodes + edges)), a few milliseconds for hundreds
// of nodes, a second or two for 10,000.
size_t order_free_floor(const Graph& graph, const tt_kernels& kernels, int threads = 1);

}  // namespace tinytl

// What every graph rewrite ends with: prune, verify, print.
#pragma once

#include "engine/ops/op.h"

namespace tinytl {

// The graph without the nodes whose results nobody reads (and that update nothing), and without the
// values only those used. Ids change; `outputs` and `inputs` follow. Unread inputs stay.
Graph prune(const Graph& graph, std::vector<ValueId>* new_ids = nullptr);

// A graph with the inputs, parameters, constants and state of `graph`, and no nodes yet: what a
// rewrite starts from. `ids`: the new id of each, UINT32_MAX for activations and where `keep` (by
// value, empty: all) is false.
Graph without_nodes(const Graph& graph, std::vector<ValueId>& ids,
                    const std::vector<bool>& keep = {});

// Checks every rule of the representation; a violation is a defect (TT_ASSERT). O(edges).
void verify(const Graph& graph);

// True of a backward node that reads values of the forward pass only and writes less than it reads:
// a bit mask, an argmax. It runs beside the forward pass, and training keeps what it writes instead
// of what it reads.
bool condenses_forward_values(const Graph& graph, const Node& node);

// Puts a DecodeTable in front of each node that reads a kTable8 parameter, one for every reader and
// of its phase: nothing decoded is kept between the forward and the backward pass. Value ids stay.
void decode_tables(Graph& graph);

// One line a node, for people: "%7 = Conv2d(%input, conv1.weight, conv1.bias) f32[8,64,64,16]".
std::string to_string(const Graph& graph);

}  // namespace tinytl

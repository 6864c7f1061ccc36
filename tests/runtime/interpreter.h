// Runs a program one node at a time through the operators alone, to check the executor's memory.
#pragma once

#include <cstring>
#include <map>

#include "engine/runtime/program.h"

namespace tinytl {

enum class Memory {
  kUnshared,  // every value and scratch in bytes of its own: what the graph means; for programs
              // compiled without sharing
  kPoisoned,  // the plan's arena; after every node all bytes outside live tensors become NaN, and
              // while it runs they are unreadable to AddressSanitizer
};

using Bytes = std::vector<std::byte>;
using Inputs = std::map<ValueId, Bytes>;

// Small positive numbers, and labels below `classes`, for every input.
Inputs random_inputs(const Graph& graph, int classes, uint32_t seed);

// One step. Parameters and state of the program's graph are updated in place; state must exist.
// Returns the outputs of the graph.
std::vector<Bytes> interpret(const Program& program, const tt_kernels& kernels, Memory memory,
                             const Inputs& inputs);

// Parameters, constants and state, in the order of their values.
std::vector<Bytes> persistent_values(const Graph& graph);

}  // namespace tinytl

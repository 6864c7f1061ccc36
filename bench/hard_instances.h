// Placement problems that are hard by construction, for the benchmark and the tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/memory/planner.h"

namespace tinytl {

// A rectangle of `steps` by `units` 64-byte units, cut again and again into `count` rectangles, of
// which one in `removed_one_in` is then left out (0: none). What is left fits into the rectangle:
// an optimum of that size is known. Shuffled. The same seed gives the same instance everywhere.
struct CutRectangle {
  int count = 0, steps = 0, units = 0, removed_one_in = 0;
};
std::vector<Lifetime> cut_rectangle(const CutRectangle& shape, uint64_t seed);

// Tensors of 1 to `max_units` 64-byte units, alive for 1 to `max_steps` steps anywhere.
struct RandomLifetimes {
  int count = 0, steps = 0, max_steps = 0, max_units = 0;
};
std::vector<Lifetime> random_lifetimes(const RandomLifetimes& shape, uint64_t seed);

// What a chain of layers leaves behind when it trains: a tensor for each that lives until the
// layer's turn in the backward pass, give or take a few steps, and larger tensors that live for a
// few steps in either pass.
struct LayerChain {
  int layers = 0, max_units = 0;
};
std::vector<Lifetime> chain_lifetimes(const LayerChain& shape, uint64_t seed);

}  // namespace tinytl

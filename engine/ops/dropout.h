// How the masks of a batch that runs in parts fit together.
#pragma once

#include <cstdint>

namespace tinytl {

// The seed with which a Dropout draws for its elements 0, 1, ... what `seed` draws for the elements
// from `first` on.
uint64_t dropout_seed_from(uint64_t seed, int64_t first);

}  // namespace tinytl

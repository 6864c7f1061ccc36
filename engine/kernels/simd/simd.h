// Every vector table this processor can run, best first: for tests and benchmarks. Not for use
// while another thread makes the first call of tt_best_kernels().
#pragma once

#include <vector>

#include "engine/kernels/kernels.h"

namespace tinytl {

std::vector<const tt_kernels*> simd_kernel_sets();

}  // namespace tinytl

// Built in place of simd.cc where Highway is absent or switched off.
#include "engine/kernels/simd/simd.h"

namespace tinytl {

std::vector<const tt_kernels*> simd_kernel_sets() { return {}; }

}  // namespace tinytl

const tt_kernels* tt_best_kernels() { return &tt_portable_kernels; }

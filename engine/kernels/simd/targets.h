// Which instruction sets the vector kernels are compiled for. Included before Highway.
//
// Sets whose vectors have no size at compile time (SVE, RVV) are left out: sums of a tile live in
// arrays of vectors. SSSE3 and AVX3_DL add nothing over their neighbours here.
#pragma once

#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_AVX3_DL | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#include "engine/kernels/kernels.h"

namespace tinytl {

// Each puts its kernels for the instruction set that Highway has chosen into `table`; nothing where
// that has no vectors (the baseline of x86 to Highway): there the portable kernels are faster than
// emulated ones.
void add_products(tt_kernels& table);  // and the name of the set
void add_depthwise(tt_kernels& table);
void add_maps(tt_kernels& table);
void add_layers(tt_kernels& table);
void add_integers(tt_kernels& table);

}  // namespace tinytl

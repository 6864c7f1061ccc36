// Counts every allocation of the test program through operator new.
#pragma once

#include <cstddef>

namespace tinytl {

size_t heap_allocations();

}  // namespace tinytl

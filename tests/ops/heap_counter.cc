#include "tests/ops/heap_counter.h"

#include <cstdlib>
#include <new>

namespace {
size_t allocations = 0;
}

void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes == 0 ? 1 : bytes);
}
void* operator new(size_t bytes) {
  if (void* p = operator new(bytes, std::nothrow)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace tinytl {

size_t heap_allocations() { return allocations; }

}  // namespace tinytl

// Counts the heap allocations of each thread, in the programs that link this file: malloc and its
// relatives are replaced by wrappers around glibc's own.

#include <cstddef>
#include <cstdint>

#include "tinytl/train/process_memory.h"

namespace {
thread_local uint64_t allocations = 0;
}

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t bytes) {
  ++allocations;
  return __libc_malloc(bytes);
}
void* calloc(size_t count, size_t bytes) {
  ++allocations;
  return __libc_calloc(count, bytes);
}
void* realloc(void* p, size_t bytes) {
  ++allocations;
  return __libc_realloc(p, bytes);
}
void* aligned_alloc(size_t alignment, size_t bytes) {
  ++allocations;
  return __libc_memalign(alignment, bytes);
}
void* memalign(size_t alignment, size_t bytes) {
  ++allocations;
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** p, size_t alignment, size_t bytes) {
  ++allocations;
  *p = __libc_memalign(alignment, bytes);
  return *p == nullptr ? 12 : 0;  // ENOMEM
}
}

#endif

namespace tinytl {
uint64_t allocations_of_this_thread() { return allocations; }
}  // namespace tinytl

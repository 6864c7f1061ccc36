// What the operating system says of this process's memory.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tinytl {

// Growth of the peak resident set since construction, by the kernel's own high-water mark, which is
// reset at construction where the system allows it (Linux: /proc/self/clear_refs). The program's
// own code is brought into memory first, so that it does not count as growth.
class PeakMemory {
 public:
  PeakMemory();
  size_t growth_bytes() const;  // 0 where the system does not tell

 private:
  size_t start_ = 0;
};

// Gives freed heap pages back to the system, so that what import needed does not count in training.
void release_free_heap();

// Makes every allocation of 32 KiB or more a mapping of its own, and the heap give back what is
// freed at its end, for the same purpose. Once, early.
void keep_heap_small();

// Number of heap allocations this thread has made. Counted only in programs that link
// count_allocations.cc; otherwise, and under a sanitizer, always 0.
uint64_t allocations_of_this_thread();

}  // namespace tinytl

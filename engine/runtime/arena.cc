#include "engine/runtime/arena.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>
#include <vector>

namespace tinytl {

Arena::Arena(size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  // A huge page would count megabytes nobody asked for.
  madvise(p, bytes, MADV_NOHUGEPAGE);
  data_ = static_cast<std::byte*>(p);
}

Arena::~Arena() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

size_t Arena::touched_bytes() const {
  if (data_ == nullptr) return 0;
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> resident((bytes_ + page - 1) / page);
  if (mincore(data_, bytes_, resident.data()) != 0) return 0;
  return page * static_cast<size_t>(std::count_if(resident.begin(), resident.end(),
                                                  [](unsigned char r) { return (r & 1) != 0; }));
}

}  // namespace tinytl

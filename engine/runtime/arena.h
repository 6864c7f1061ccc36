// One block of memory for everything that lives within a step.
#pragma once

#include <cstddef>
#include <span>

namespace tinytl {

// Pages straight from the operating system: untouched ones cost nothing, and `touched_bytes` is the
// system's own count of the others.
class Arena {
 public:
  explicit Arena(size_t bytes);  // throws std::bad_alloc
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  size_t touched_bytes() const;  // whole pages that are in memory (mincore)

 private:
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace tinytl

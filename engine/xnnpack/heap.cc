#include "engine/xnnpack/heap.h"

#include <xnnpack.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>

namespace tinytl::xnnpack {
namespace {

std::atomic<size_t> held{0};
struct Watched {
  std::array<std::span<std::byte>, 8> blocks;
  size_t count = 0;
};
thread_local Watched watched;

// In front of every block.
struct Header {
  void* start;   // as malloc gave it
  size_t bytes;  // of all
};

Header* header_of(void* block) { return static_cast<Header*>(block) - 1; }

void* aligned_allocate(void*, size_t alignment, size_t bytes) {
  const size_t front = std::max(alignment, sizeof(Header));
  const size_t all = (front + bytes + alignment - 1) / alignment * alignment;
  auto* const start = static_cast<std::byte*>(std::aligned_alloc(alignment, all));
  if (start == nullptr) return nullptr;
  std::byte* const block = start + front;
  *header_of(block) = {start, all};
  held += all;
  return block;
}

void deallocate(void*, void* block) {
  if (block == nullptr) return;
  held -= header_of(block)->bytes;
  std::free(header_of(block)->start);
}

// Zero-filled: what the packing of a layer leaves out must not be the remains of another.
void* watched_allocate(void* context, size_t alignment, size_t bytes) {
  void* const block = aligned_allocate(context, alignment, bytes);
  if (block == nullptr) return nullptr;
  std::memset(block, 0, bytes);
  if (watched.count < watched.blocks.size()) {
    watched.blocks[watched.count++] = {static_cast<std::byte*>(block), bytes};
  }
  return block;
}

void* allocate(void* context, size_t bytes) {
  return aligned_allocate(context, alignof(std::max_align_t), bytes);
}

void* reallocate(void* context, void* block, size_t bytes) {
  void* const fresh = allocate(context, bytes);
  if (fresh == nullptr || block == nullptr) return fresh;
  const Header& header = *header_of(block);
  const auto front =
      static_cast<size_t>(static_cast<std::byte*>(block) - static_cast<std::byte*>(header.start));
  std::memcpy(fresh, block, std::min(bytes, header.bytes - front));
  deallocate(context, block);
  return fresh;
}

}  // namespace

bool start() {
  static const xnn_allocator allocator{.context = nullptr,
                                       .allocate = allocate,
                                       .reallocate = reallocate,
                                       .deallocate = deallocate,
                                       .aligned_allocate = watched_allocate,
                                       .aligned_deallocate = deallocate};
  static const bool kStarted = xnn_initialize(&allocator) == xnn_status_success;
  return kStarted;
}

size_t bytes_held() { return held; }

void watch_blocks() { watched.count = 0; }
std::span<const std::span<std::byte>> watched_blocks() {
  return std::span(watched.blocks).first(watched.count);
}

}  // namespace tinytl::xnnpack

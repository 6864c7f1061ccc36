// The memory of XNNPACK: every byte that it holds is counted.
#pragma once

#include <cstddef>
#include <span>

namespace tinytl::xnnpack {

// Starts XNNPACK with the counted heap, once a process. False where it does not run on this
// processor.
bool start();

// Bytes held now, with the few that this counting adds to each block. All threads.
size_t bytes_held();

// The first aligned blocks that this thread gave XNNPACK since `watch_blocks`: right after an
// operator was made, its packed weights are one of them. Empty where XNNPACK has another heap,
// because another library of the process started it first. Blocks start zero-filled.
void watch_blocks();
std::span<const std::span<std::byte>> watched_blocks();

}  // namespace tinytl::xnnpack

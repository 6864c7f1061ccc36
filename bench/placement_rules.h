// The placement rules of other training and inference engines, to compare plan_memory with.
// Written from what they publish, not from their code.
#pragma once

#include "engine/memory/planner.h"

namespace tinytl {

// Every tensor has bytes of its own.
MemoryPlan place_without_sharing(std::span<const Lifetime> tensors, size_t alignment = 64);

// NNTrainer's default planner: in the order of birth (long-lived first), each on the top of the
// stack, or in a free block inside it of exactly its size.
MemoryPlan place_nntrainer(std::span<const Lifetime> tensors, size_t alignment = 64);

// TinyEngine's (MCUNet): first fit in the order in which the tensors are made.
MemoryPlan place_tinyengine(std::span<const Lifetime> tensors, size_t alignment = 64);

// TensorFlow Lite's "greedy by size" (Pisarchyk & Lee, arXiv:2001.03288): in the order of size,
// each into the smallest gap that it fits in.
MemoryPlan place_tflite(std::span<const Lifetime> tensors, size_t alignment = 64);

}  // namespace tinytl

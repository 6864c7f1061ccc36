// How weights that do not train are stored.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/graph/graph.h"

namespace tinytl {

enum class FrozenWeights : uint8_t {
  kFloat,
  // 8 bits and a scale for every entry of the last axis (an output channel): symmetric, read by the
  // kernels as they are.
  kInt8,
  // The index of one of 256 numbers that k-means finds for each tensor, as in the authors' code of
  // TinyTL (Cai et al., NeurIPS 2020); decoded in front of each layer that reads them. Deep
  // Compression (Han et al., ICLR 2016).
  kKmeans,
};

std::optional<FrozenWeights> parse_frozen_weights(std::string_view name);
std::string_view name_of(FrozenWeights format);
DType dtype_of(FrozenWeights format);

// Stores every weight of `network` that is not one of `trained` in `format`, one after the other:
// the f32 bytes of each are freed as soon as it is packed, unless another graph shares them.
//
// Packed is what only layers read as their matrix or kernel (Conv2d, DepthwiseConv2d, Linear,
// MatMul), where that saves bytes; norms, biases and what holds infinities stay as they are. What
// is packed depends on the network, `trained` and `format` alone. With kKmeans the graph runs only
// after decode_tables (engine/ops/passes.h).
void freeze_weights(Graph& network, const std::vector<ValueId>& trained, FrozenWeights format);

}  // namespace tinytl

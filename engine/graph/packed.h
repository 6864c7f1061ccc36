// Weights in 8 bits: made once from f32, read by kernels (kQ8) or decoded by a node (kTable8).
#pragma once

#include <set>
#include <string>

#include "engine/graph/tensor.h"

namespace tinytl {

inline bool is_packed(DType dtype) { return dtype == DType::kQ8 || dtype == DType::kTable8; }

// Parameters, by name, that whoever makes a graph packs as soon as it has them, so that never more
// than a few tensors of them are in memory as floats.
struct PackedParameters {
  std::set<std::string> names;
  DType as = DType::kQ8;
};

// f32 `weights` of rank 1 or more as kQ8: scale = max |w| / 127 for each entry of the last axis, w
// / scale rounded to the nearest, ties away from 0. An entry of zeros has scale 0. The largest
// error is half a scale. O(elements).
std::shared_ptr<Tensor> quantize_weights(const Tensor& weights);

// f32 `weights` as kTable8: the centres of 256 clusters of the numbers found by k-means (Lloyd,
// 1982), whatever their place. Deterministic: begins with the mean of equal steps and equal counts.
// Needs as many bytes again while it runs. At most 50 rounds. O(n log n).
std::shared_ptr<Tensor> cluster_weights(const Tensor& weights);

// f32 `weights` as `dtype`: one of the two above.
std::shared_ptr<Tensor> pack_weights(const Tensor& weights, DType dtype);

// What packed weights stand for, in their order. `values` has as many elements.
void unpack(const Tensor& packed, std::span<float> values);

// packed[..., begin : begin + size, ...] along one dimension, as a tensor of its own.
std::shared_ptr<Tensor> part_of(const Tensor& packed, size_t dimension, int64_t begin,
                                int64_t size);

}  // namespace tinytl

// Orders of dimensions: how the tensor an ONNX file speaks of lies in memory here.
#pragma once

#include <optional>

#include "engine/graph/tensor.h"

namespace tinytl::internal {

// A tensor of shape s stored in order o has the stored shape {s[o[0]], s[o[1]], ...}: stored
// dimension j is dimension o[j] of the ONNX tensor. NCHW stored as NHWC is {0, 2, 3, 1}.
using Order = std::vector<int64_t>;

Order identity_order(size_t rank);
Order channels_last(size_t rank);  // {0, 2, ..., rank - 1, 1}
bool is_identity(const Order& order);
bool is_permutation(const Order& order);

// Whether the ONNX tensor can only be a batch of images: [N,C,H,W] of 1 or 3 channels. Data sets
// hold their channels last, so such an input does too, whatever reads it.
bool is_image_batch(const Shape& shape);

// Where dimension `dim` of the ONNX tensor is stored.
int64_t stored_position(const Order& order, int64_t dim);

Shape permuted(const Shape& shape, const Order& order);

// The permutation that takes a tensor stored in order `from` to order `to`.
Order between(const Order& from, const Order& to);

// Whether transposing a tensor of shape `stored` by `permutation` leaves its bytes as they are.
bool moves_only_ones(const Shape& stored, const Order& permutation);

// The order in which the same bytes hold a tensor reshaped from `in` to `out`, where there is one:
// every group of dimensions that is split or merged must lie together, in sequence.
std::optional<Order> reshaped_order(const Shape& in, const Order& order, const Shape& out);

// The order without the dimensions in `removed` (sorted), the rest renumbered.
Order without(const Order& order, const std::vector<int64_t>& removed);

// Writes a tensor transposed, while its elements come in pieces: dimension j of the result is
// dimension order[j] of the source.
class Transposer {
 public:
  Transposer(const Shape& shape, const Order& order, std::span<float> to);
  void write(std::span<const float> next);

 private:
  std::span<float> to_;
  std::vector<size_t> extent_, step_, at_;  // by dimension of the source
  size_t target_ = 0;
};

// The same in one piece.
void permute(std::span<const float> from, const Shape& shape, const Order& order,
             std::span<float> to);

}  // namespace tinytl::internal

// A loop over a box inside a larger tensor, without allocation.
#pragma once

#include <array>

#include "engine/ops/broadcast.h"

namespace tinytl {

using Strides = std::array<int64_t, kMaxRank>;

// Strides, in elements, of a dense tensor.
inline Strides dense_strides(const Shape& shape) {
  Strides strides{};
  int64_t running = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    strides[d] = running;
    running *= shape[d];
  }
  return strides;
}

// Calls visit(i, at) for every element i of a dense tensor of `shape`, in order; `at` is where the
// element lies elsewhere: `start` plus its coordinates times `stride`.
template <typename Visit>
void for_each_strided(const Shape& shape, int64_t start, const Strides& stride, Visit visit) {
  int64_t count = 1;
  for (const int64_t d : shape) count *= d;
  if (count == 0) return;
  const size_t rank = shape.size();
  const int64_t inner = rank == 0 ? 1 : shape.back();
  const int64_t step = rank == 0 ? 0 : stride[rank - 1];
  Strides at{};
  for (int64_t i = 0; i < count; i += inner) {
    for (int64_t j = 0; j < inner; ++j) visit(i + j, start + j * step);
    for (size_t d = rank < 2 ? 0 : rank - 1; d-- > 0;) {
      start += stride[d];
      if (++at[d] < shape[d]) break;
      start -= stride[d] * shape[d];
      at[d] = 0;
    }
  }
}

}  // namespace tinytl

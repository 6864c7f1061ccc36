// Gradients of activations in 8 bits (DType::kRow8): a code an element, and a scale for every row,
// the channels of one pixel. Operators compute in f32, some rows at a time, in scratch. Each row is
// rounded by itself, so that the result does not depend on which rows are computed together.
//
// OpDef::reads_row8 names the inputs that may be kRow8. Output 0 is where the node has attribute
// row8 = 1, which takes OpDef::writes_row8.
#pragma once

#include <algorithm>

#include "engine/ops/op_helpers.h"

namespace tinytl {

inline bool is_row8(const TensorType& type) { return type.dtype == DType::kRow8; }
inline bool writes_row8(const Node& node) { return node.attributes.has("row8"); }
// Of a gradient that `node` computes.
inline TensorType gradient_result(const Node& node, Shape shape) {
  return {writes_row8(node) ? DType::kRow8 : DType::kF32, std::move(shape)};
}
// Whether some input, or the result, is kRow8.
bool has_row8(const Node& node, InputTypes in);
bool has_row8(const Node& node, const KernelArgs& t);

// Floats of scratch that a strip takes, about; a quarter of a fast cache.
inline constexpr int64_t kStripFloats = 4096;
// As many rows as that holds, but at least so many.
inline int64_t strip_rows(int64_t rows, int64_t floats_of_row, int64_t least) {
  return std::min(rows, std::max(least, kStripFloats / floats_of_row));
}
// The same in steps of 8 rows: masks of them are whole bytes.
inline constexpr int64_t kMaskRows = 8;
inline int64_t mask_strip_rows(int64_t rows, int64_t floats_of_row) {
  const int64_t most = strip_rows(rows, floats_of_row, kMaskRows);
  return (most + kMaskRows - 1) / kMaskRows * kMaskRows;
}
// Whole cache lines.
inline int64_t padded(int64_t floats) { return (floats + 15) / 16 * 16; }

// The entries `columns` of rows `rows` of input i, a kRow8, one row after the other.
void decode(const KernelArgs& t, size_t i, Share rows, Share columns, float* x);
// Rows of input i: where they lie, or decoded into `room`.
const float* rows_of_input(const KernelArgs& t, size_t i, Share rows, float* room);
// The same, copied to `x` unless they lie there.
void copy_rows(const KernelArgs& t, size_t i, Share rows, float* x);
// Where rows of output 0 from `first` on are to be computed: where they lie, or in `room`; and what
// is to be called when they are there.
float* place_of_rows(const KernelArgs& t, int64_t first, float* room);
void finish_rows(const KernelArgs& t, Share rows, const float* y);

// fn(rows, y) for strips of at most `step` of `rows`: computes those rows of output 0 into y, which
// may lie in `room`.
template <class F>
void for_each_strip(const KernelArgs& t, Share rows, int64_t step, float* room, F&& fn) {
  for (int64_t first = rows.begin; first < rows.end; first += step) {
    const Share strip{first, std::min(rows.end, first + step)};
    float* const y = place_of_rows(t, first, room);
    fn(strip, y);
    finish_rows(t, strip, y);
  }
}

}  // namespace tinytl

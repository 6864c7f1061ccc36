// Pointwise convolution over its own input, some pixels at a time.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>

#include "engine/ops/layer_parts.h"
#include "engine/ops/op_helpers.h"

namespace tinytl {

// Pixels that are copied aside and then overwritten, at least. More take more scratch.
inline constexpr int64_t kPointwiseRows = 32;

// The shape of one block of the convolution, of `most_blocks` or as many as it takes. Empty where
// it is not 1x1 with stride 1 and as many channels out as in.
inline std::optional<tt_conv2d_shape> pointwise_block(const tt_conv2d_shape& s,
                                                      int64_t most_blocks) {
  if (!is_pointwise(s) || s.in_c != s.out_c) return {};
  tt_conv2d_shape block = s;
  block.batch = block.in_h = block.out_h = 1;
  const int64_t pixels = int64_t{s.batch} * s.in_h * s.in_w;
  const int64_t rows = std::max(kPointwiseRows, (pixels + most_blocks - 1) / most_blocks);
  block.in_w = block.out_w = static_cast<int32_t>(std::min(pixels, rows));
  return block;
}

// Floats of scratch for the pixels copied aside, whole cache lines of them.
inline int64_t copied_floats(const tt_conv2d_shape& block) {
  return (int64_t{block.in_w} * block.in_c + 15) / 16 * 16;
}

inline size_t pointwise_in_place_scratch(const tt_conv2d_shape& block, size_t kernel_scratch) {
  return static_cast<size_t>(copied_floats(block)) * sizeof(float) + kernel_scratch;
}

// The product `g` of the whole convolution, whose a and c are the same tensor: one block of pixels
// after the other, from a copy of them to where they were. Each pixel depends on itself only, so
// the bits are those of a whole result beside the input.
inline void run_over_pixels(const KernelArgs& t, const tt_conv2d_shape& block, const tt_gemm& g) {
  float* const copy = static_cast<float*>(t.scratch());
  const Share pixels = t.share(g.m, block.in_w);
  for (int64_t first = pixels.begin; first < pixels.end; first += block.in_w) {
    tt_gemm part = g;
    part.m = static_cast<int32_t>(std::min<int64_t>(pixels.end - first, block.in_w));
    part.c += first * g.c_row;
    part.a = copy;
    part.epilogue = shifted(g.epilogue, first * g.c_row);
    std::memcpy(copy, part.c, static_cast<size_t>(part.m * g.c_row) * sizeof(float));
    t.kernels().gemm(&part, copy + copied_floats(block));
  }
}

}  // namespace tinytl

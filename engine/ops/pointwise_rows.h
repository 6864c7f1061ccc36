// Pointwise convolution over its own input, some pixels at a time.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>

#include "engine/ops/op.h"

namespace tinytl {

// Pixels that are copied aside and then overwritten, at least. More take more scratch.
inline constexpr int64_t kPointwiseRows = 32;

// The shape of one block of the convolution, of `most_blocks` or as many as it takes. Empty where
// it is not 1x1 with stride 1 and as many channels out as in.
inline std::optional<tt_conv2d_shape> pointwise_block(const tt_conv2d_shape& s,
                                                      int64_t most_blocks) {
  const bool pointwise = s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
                         s.pad_top == 0 && s.pad_left == 0 && s.groups == 1;
  if (!pointwise || s.in_c != s.out_c || s.in_h != s.out_h || s.in_w != s.out_w) return {};
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

// `compute(first, count, from, to, scratch)` for one block of pixels after the other, from a copy
// of them to where they were. Each pixel depends on itself only, so the bits are those of a whole
// result beside the input.
template <class Compute>
void run_over_pixels(const KernelArgs& t, const tt_conv2d_shape& s, const tt_conv2d_shape& block,
                     Compute&& compute) {
  float* const copy = static_cast<float*>(t.scratch());
  float* const kernel_scratch = copy + copied_floats(block);
  const Share pixels = t.share(int64_t{s.batch} * s.in_h * s.in_w, block.in_w);
  for (int64_t first = pixels.begin; first < pixels.end; first += block.in_w) {
    const int64_t count = std::min<int64_t>(pixels.end - first, block.in_w);
    float* const to = t.out_f32() + first * s.in_c;
    std::memcpy(copy, to, static_cast<size_t>(count * s.in_c) * sizeof(float));
    compute(first, count, copy, to, kernel_scratch);
  }
}

}  // namespace tinytl

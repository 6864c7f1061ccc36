// From 8-bit pixels to what the network was trained on.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "tinytl/data/loader.h"

namespace tinytl {

// Per channel, in gray levels: (pixel - mean) / deviation. Gray images use the first entry.
struct Normalisation {
  std::array<float, 3> mean{127.5f, 127.5f, 127.5f};
  std::array<float, 3> deviation{127.5f, 127.5f, 127.5f};
};

// One IEEE float subtraction and one division a pixel, so the same bits everywhere.
void to_float(std::span<const uint8_t> pixels, int channels, const Normalisation& normalisation,
              float* out);

// The whole batch, [count, height, width, channels]. Float data are copied as they are.
void to_float(const Batch& batch, const Normalisation& normalisation, float* out);

// The same in 8-bit levels: level = zero + round(value / scale), ties to even, limited to
// [-128, 127].
struct InputLevels {
  float scale;
  int32_t zero;
};
void to_levels(const Batch& batch, const Normalisation& normalisation, const InputLevels& levels,
               int8_t* out);

}  // namespace tinytl

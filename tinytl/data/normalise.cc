#include "tinytl/data/normalise.h"

#include <algorithm>
#include <cmath>

namespace tinytl {
namespace {

template <class Number>
using Table = std::array<Number, 256>;

template <class Number, class Convert>
Table<Number> table_for(float mean, float deviation, Convert&& convert) {
  Table<Number> table;
  for (int p = 0; p < 256; ++p) table[p] = convert((static_cast<float>(p) - mean) / deviation);
  return table;
}

template <class Number, class Convert>
void convert_pixels(std::span<const uint8_t> pixels, int channels, const Normalisation& n,
                    Number* out, Convert&& convert) {
  const auto first = table_for<Number>(n.mean[0], n.deviation[0], convert);
  const bool alike = n.mean[0] == n.mean[1] && n.mean[0] == n.mean[2] &&
                     n.deviation[0] == n.deviation[1] && n.deviation[0] == n.deviation[2];
  if (channels == 1 || alike) {
    for (const uint8_t p : pixels) *out++ = first[p];
    return;
  }
  const auto second = table_for<Number>(n.mean[1], n.deviation[1], convert);
  const auto third = table_for<Number>(n.mean[2], n.deviation[2], convert);
  for (size_t i = 0; i + 2 < pixels.size(); i += 3, out += 3) {
    out[0] = first[pixels[i]];
    out[1] = second[pixels[i + 1]];
    out[2] = third[pixels[i + 2]];
  }
}

template <class Number, class Convert>
void convert_batch(const Batch& batch, const Normalisation& normalisation, Number* out,
                   Convert&& convert) {
  const InputSize& size = batch.size;
  const size_t values = static_cast<size_t>(batch.count) * size.height * size.width * size.channels;
  if (!batch.floats.empty()) {
    std::transform(batch.floats.begin(), batch.floats.begin() + static_cast<ptrdiff_t>(values), out,
                   convert);
  } else {
    convert_pixels(std::span(batch.pixels).first(values), size.channels, normalisation, out,
                   convert);
  }
}

float as_it_is(float value) { return value; }

}  // namespace

void to_float(std::span<const uint8_t> pixels, int channels, const Normalisation& n, float* out) {
  convert_pixels(pixels, channels, n, out, as_it_is);
}

void to_float(const Batch& batch, const Normalisation& normalisation, float* out) {
  convert_batch(batch, normalisation, out, as_it_is);
}

void to_levels(const Batch& batch, const Normalisation& normalisation, const InputLevels& levels,
               int8_t* out) {
  const auto low = static_cast<float>(-128 - levels.zero);
  const auto high = static_cast<float>(127 - levels.zero);
  convert_batch(batch, normalisation, out, [&](float value) {
    const float scaled = value / levels.scale;
    const float limited = scaled > low ? std::min(scaled, high) : low;  // NaN: low
    return static_cast<int8_t>(levels.zero + static_cast<int32_t>(std::nearbyint(limited)));
  });
}

}  // namespace tinytl

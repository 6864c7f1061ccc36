#include "tinytl/data/normalise.h"

#include <algorithm>

namespace tinytl {
namespace {

using Table = std::array<float, 256>;

Table table_for(float mean, float deviation) {
  Table table;
  for (int p = 0; p < 256; ++p) table[p] = (static_cast<float>(p) - mean) / deviation;
  return table;
}

}  // namespace

void to_float(std::span<const uint8_t> pixels, int channels, const Normalisation& n, float* out) {
  const Table first = table_for(n.mean[0], n.deviation[0]);
  const bool alike = n.mean[0] == n.mean[1] && n.mean[0] == n.mean[2] &&
                     n.deviation[0] == n.deviation[1] && n.deviation[0] == n.deviation[2];
  if (channels == 1 || alike) {
    for (const uint8_t p : pixels) *out++ = first[p];
    return;
  }
  const Table second = table_for(n.mean[1], n.deviation[1]);
  const Table third = table_for(n.mean[2], n.deviation[2]);
  for (size_t i = 0; i + 2 < pixels.size(); i += 3, out += 3) {
    out[0] = first[pixels[i]];
    out[1] = second[pixels[i + 1]];
    out[2] = third[pixels[i + 2]];
  }
}

void to_float(const Batch& batch, const Normalisation& normalisation, float* out) {
  const InputSize& size = batch.size;
  const size_t values = static_cast<size_t>(batch.count) * size.height * size.width * size.channels;
  if (!batch.floats.empty()) {
    std::copy_n(batch.floats.begin(), values, out);
  } else {
    to_float(std::span(batch.pixels).first(values), size.channels, normalisation, out);
  }
}

}  // namespace tinytl

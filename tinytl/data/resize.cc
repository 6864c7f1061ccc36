#include "tinytl/data/resize.h"

#include <algorithm>
#include <utility>

namespace tinytl {
namespace {

constexpr int kWeightBits = 11;  // two weights and a pixel: 11 + 11 + 8 bits fit in 32
constexpr int kOne = 1 << kWeightBits;

// Output i is pixel `first` times (kOne - weight) plus pixel `second` times weight.
struct Tap {
  int first, second, weight;
};

Tap tap_at(int i, int source_size, int size) {
  // Position in units of 1 / (2 * size) pixels: exact in integers.
  const int64_t position = std::max<int64_t>(0, int64_t{2 * i + 1} * source_size - size);
  const int64_t unit = int64_t{2} * size;
  const int first = std::min(static_cast<int>(position / unit), source_size - 1);
  const int64_t rest = position - first * unit;
  const int weight = static_cast<int>(std::min<int64_t>((rest * kOne + size) / unit, kOne));
  return {first, std::min(first + 1, source_size - 1), weight};
}

std::vector<Tap> horizontal_taps(const Box& box, bool mirror, int width, int channels) {
  std::vector<Tap> taps(width);
  for (int x = 0; x < width; ++x) {
    Tap tap = tap_at(x, box.width, width);
    tap.first = (box.x + tap.first) * channels;
    tap.second = (box.x + tap.second) * channels;
    taps[mirror ? width - 1 - x : x] = tap;
  }
  return taps;
}

template <int kChannels>
void resample_row(const uint8_t* row, const std::vector<Tap>& taps, int32_t* out) {
  for (const Tap& tap : taps) {
    for (int c = 0; c < kChannels; ++c) {
      *out++ = row[tap.first + c] * (kOne - tap.weight) + row[tap.second + c] * tap.weight;
    }
  }
}

void blend_rows(const std::vector<int32_t>& top, const std::vector<int32_t>& bottom, int weight,
                uint8_t* out) {
  constexpr int kHalf = 1 << (2 * kWeightBits - 1);
  const int32_t* a = top.data();
  const int32_t* b = bottom.data();
  const size_t count = top.size();
  for (size_t i = 0; i < count; ++i) {
    const int32_t sum = a[i] * (kOne - weight) + b[i] * weight;
    out[i] = static_cast<uint8_t>((sum + kHalf) >> (2 * kWeightBits));
  }
}

}  // namespace

void resize_bilinear(const Image& in, const Box& box, bool mirror, int height, int width,
                     uint8_t* out) {
  const std::vector<Tap> taps = horizontal_taps(box, mirror, width, in.channels);
  const size_t in_row = static_cast<size_t>(in.width) * in.channels;
  const size_t out_row = static_cast<size_t>(width) * in.channels;
  const auto resample = [&](int y, std::vector<int32_t>& row) {
    const uint8_t* from = in.pixels.data() + in_row * (box.y + y);
    in.channels == 3 ? resample_row<3>(from, taps, row.data())
                     : resample_row<1>(from, taps, row.data());
  };

  // Neighbouring output rows share input rows: each of those is resampled once.
  std::vector<int32_t> top(out_row), bottom(out_row);
  int top_y = -1, bottom_y = -1;
  for (int y = 0; y < height; ++y, out += out_row) {
    const Tap tap = tap_at(y, box.height, height);
    if (tap.first == bottom_y) {
      std::swap(top, bottom);
      std::swap(top_y, bottom_y);
    }
    if (tap.first != top_y) resample(top_y = tap.first, top);
    if (tap.second != bottom_y) resample(bottom_y = tap.second, bottom);
    blend_rows(top, bottom, tap.weight, out);
  }
}

}  // namespace tinytl

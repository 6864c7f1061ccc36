#include "tinytl/data/reduce.h"

#include <algorithm>

#include "tinytl/data/codec.h"

namespace tinytl {

int reduction(int shorter_side, int at_least_side) {
  // 4096 keeps the sums of Reducer in 32 bits.
  return at_least_side <= 0 ? 1 : std::clamp(shorter_side / at_least_side, 1, 4096);
}

Reducer::Reducer(int width, int height, int source_channels, int channels, int factor)
    : source_channels_(source_channels), factor_(factor) {
  image_ = {width / factor, height / factor, channels, {}};
  sums_.resize(static_cast<size_t>(image_.width) * channels);
  image_.pixels.resize(sums_.size() * image_.height);
}

void Reducer::add_row(const uint8_t* row) {
  if (next_row_ / factor_ >= image_.height) return;
  if (factor_ == 1 && source_channels_ == image_.channels) {
    std::copy_n(row, sums_.size(), image_.pixels.data() + sums_.size() * next_row_++);
    return;
  }
  uint32_t* sum = sums_.data();
  for (int x = 0; x < image_.width; ++x, sum += image_.channels) {
    for (int i = 0; i < factor_; ++i, row += source_channels_) add_pixel(row, sum);
  }
  if (++next_row_ % factor_ == 0) finish_row();
}

void Reducer::add_pixel(const uint8_t* p, uint32_t* sum) const {
  const bool has_alpha = source_channels_ == 2 || source_channels_ == 4;
  const int alpha = has_alpha ? p[source_channels_ - 1] : 255;
  const auto over_white = [alpha](int value) {
    return alpha == 255 ? value : (value * alpha + 255 * (255 - alpha) + 127) / 255;
  };
  const int red = over_white(p[0]);
  const int green = source_channels_ < 3 ? red : over_white(p[1]);
  const int blue = source_channels_ < 3 ? red : over_white(p[2]);
  if (image_.channels == 1) {
    sum[0] += source_channels_ < 3 ? static_cast<uint32_t>(red) : luma(red, green, blue);
  } else {
    sum[0] += static_cast<uint32_t>(red);
    sum[1] += static_cast<uint32_t>(green);
    sum[2] += static_cast<uint32_t>(blue);
  }
}

void Reducer::finish_row() {
  const auto area = static_cast<uint32_t>(factor_ * factor_);
  uint8_t* out = image_.pixels.data() + sums_.size() * (next_row_ / factor_ - 1);
  for (uint32_t& sum : sums_) {
    *out++ = static_cast<uint8_t>((sum + area / 2) / area);
    sum = 0;
  }
}

}  // namespace tinytl

#include "tinytl/cli/synthetic.h"

#include "tinytl/data/random.h"

namespace tinytl::cli {

SyntheticDataset::SyntheticDataset(std::vector<int64_t> shape, int64_t classes, int64_t size)
    : shape_(std::move(shape)), size_(size) {
  for (int64_t c = 0; c < classes; ++c) classes_.push_back(std::to_string(c));
}

SampleKind SyntheticDataset::kind() const {
  return shape_.size() == 3 && (shape_[2] == 1 || shape_[2] == 3) ? SampleKind::kImage
                                                                  : SampleKind::kFloats;
}

int32_t SyntheticDataset::label(int64_t i) const {
  return classes_.empty() ? -1 : static_cast<int32_t>(i % static_cast<int64_t>(classes_.size()));
}

void SyntheticDataset::load(int64_t i, int, int, Sample& out) const {
  Random random(/*seed=*/7, /*epoch=*/0, static_cast<uint64_t>(i));
  size_t values = 1;
  for (const int64_t d : shape_) values *= static_cast<size_t>(d);
  if (kind() == SampleKind::kFloats) {
    out.floats.resize(values);
    for (float& v : out.floats) v = static_cast<float>(random.uniform(-1, 1));
    return;
  }
  out.image.height = static_cast<int>(shape_[0]);
  out.image.width = static_cast<int>(shape_[1]);
  out.image.channels = static_cast<int>(shape_[2]);
  out.image.pixels.resize(values);
  for (uint8_t& p : out.image.pixels) p = static_cast<uint8_t>(random.below(256));
}

}  // namespace tinytl::cli

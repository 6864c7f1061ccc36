#include "tinytl/train/subset.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "tinytl/data/random.h"

namespace tinytl {

SubsetDataset::SubsetDataset(const Dataset& whole, std::vector<int64_t> indices)
    : whole_(whole), indices_(std::move(indices)) {
  classes_ = whole.classes();
}

HoldOut hold_out(const Dataset& whole, double fraction, uint64_t seed) {
  std::map<int32_t, std::vector<int64_t>> by_class;
  for (int64_t i = 0; i < whole.size(); ++i) by_class[whole.label(i)].push_back(i);
  std::vector<int64_t> train, held;
  for (auto& [label, samples] : by_class) {
    const auto key = [&](int64_t i) { return mix_bits(seed ^ mix_bits(static_cast<uint64_t>(i))); };
    std::sort(samples.begin(), samples.end(),
              [&](int64_t a, int64_t b) { return key(a) < key(b); });
    auto count = static_cast<size_t>(std::lround(fraction * double(samples.size())));
    count = samples.size() < 2 ? 0 : std::clamp<size_t>(count, 1, samples.size() - 1);
    const auto split = samples.begin() + static_cast<ptrdiff_t>(count);
    held.insert(held.end(), samples.begin(), split);
    train.insert(train.end(), split, samples.end());
  }
  std::sort(train.begin(), train.end());
  std::sort(held.begin(), held.end());
  return {std::make_unique<SubsetDataset>(whole, std::move(train)),
          std::make_unique<SubsetDataset>(whole, std::move(held))};
}

}  // namespace tinytl

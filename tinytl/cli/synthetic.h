// Random samples of the network's own shape, to measure memory and time without data.
#pragma once

#include "tinytl/data/dataset.h"

namespace tinytl::cli {

class SyntheticDataset : public Dataset {
 public:
  // `shape`: of one sample, {height, width, channels} or any other for float data.
  SyntheticDataset(std::vector<int64_t> shape, int64_t classes, int64_t size);

  SampleKind kind() const override;
  int64_t size() const override { return size_; }
  int32_t label(int64_t i) const override;
  std::string name(int64_t i) const override { return "synthetic " + std::to_string(i); }
  std::vector<int64_t> sample_shape() const override { return shape_; }
  void load(int64_t i, int channels, int at_least_side, Sample& out) const override;

 private:
  std::vector<int64_t> shape_;
  int64_t size_;
};

}  // namespace tinytl::cli

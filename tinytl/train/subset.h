// A part of a data set, and the part of a training set that --lr auto holds out.
#pragma once

#include <memory>

#include "tinytl/data/dataset.h"

namespace tinytl {

// The samples of `whole` at `indices`. `whole` must outlive it.
class SubsetDataset : public Dataset {
 public:
  SubsetDataset(const Dataset& whole, std::vector<int64_t> indices);

  SampleKind kind() const override { return whole_.kind(); }
  int64_t size() const override { return static_cast<int64_t>(indices_.size()); }
  int32_t label(int64_t i) const override { return whole_.label(at(i)); }
  std::string name(int64_t i) const override { return whole_.name(at(i)); }
  std::vector<int64_t> sample_shape() const override { return whole_.sample_shape(); }
  void load(int64_t i, int channels, int at_least_side, Sample& out) const override {
    whole_.load(at(i), channels, at_least_side, out);
  }

 private:
  int64_t at(int64_t i) const { return indices_.at(static_cast<size_t>(i)); }
  const Dataset& whole_;
  std::vector<int64_t> indices_;
};

struct HoldOut {
  std::unique_ptr<SubsetDataset> train, held_out;
};

// Holds out `fraction` of every class, at least one sample of each that has two. The choice depends
// on the data set and `seed` alone.
HoldOut hold_out(const Dataset& whole, double fraction, uint64_t seed);

}  // namespace tinytl

// Data sets on disk: a folder of images per class, or IDX files (the format of MNIST).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tinytl/data/image.h"

namespace tinytl {

enum class SampleKind { kImage, kFloats };

// What load() fills: one of the two, by the kind of the data set.
struct Sample {
  Image image;
  std::vector<float> floats;
};

// Samples by number, read from disk one at a time. const functions may be called from any thread.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual SampleKind kind() const = 0;
  virtual int64_t size() const = 0;

  // Number of the class, an index into classes(); -1 if the data set has no labels.
  virtual int32_t label(int64_t i) const = 0;

  // Where sample i is stored, for messages.
  virtual std::string name(int64_t i) const = 0;

  // Extents of every sample: {height, width, channels} of an image. Empty if they differ.
  virtual std::vector<int64_t> sample_shape() const = 0;

  // channels and at_least_side as in decode_image(). Throws ImageError if the sample is damaged.
  virtual void load(int64_t i, int channels, int at_least_side, Sample& out) const = 0;

  // Sorted by name (those of IDX files by label); empty if there are no labels.
  const std::vector<std::string>& classes() const { return classes_; }

 protected:
  std::vector<std::string> classes_;
};

struct DatasetOptions {
  std::vector<std::string> keep_classes =
      {};                         // empty: all; they are numbered in the order of names
  int64_t max_per_class = 0;      // of the training part; 0: all, otherwise a fixed choice
  int64_t max_val_per_class = 0;  // the same of the validation part
  double val_fraction = 0.2;      // of data that does not come split
};

struct DatasetSplits {
  std::shared_ptr<const Dataset> whole;  // what `train` and `val` are parts of, if of something
  std::unique_ptr<Dataset> train, val;
  int64_t ignored_files = 0;  // in class folders, but neither .jpg, .jpeg nor .png
};

// Opens a folder of one of these forms:
//
//   train/CLASS/*.jpg, val/CLASS/*.jpg    val may be called valid, validation or test
//   train/CLASS/*.jpg  or  CLASS/*.jpg    split by a hash of each CLASS/NAME
//   train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-...
//                                         or any *train*idx*, *val*idx*, *test*idx*, *t10k*idx*;
//                                         .gz or not; *label* are the labels, which may be absent
//                                         for float data; without val, split by a hash of the row
//
// IDX arrays of bytes [N,H,W] or [N,H,W,C] are images; float arrays [N,...] are taken as they are.
// Class names of IDX labels are the numbers, or line k of classes.txt for label k.
//
// Memory: about 4 bytes and the file name for each image of a folder, at most 6 bytes for each row
// of an IDX file. Compressed files are unpacked once, to a temporary file that has no name.
//
// Throws InputError if there is no such data set or its parts do not fit together.
DatasetSplits open_dataset(const std::filesystem::path& root, const DatasetOptions& options = {});

}  // namespace tinytl

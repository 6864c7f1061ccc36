// Labels of IDX data sets, and the classes they stand for. Private to this folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "tinytl/data/dataset.h"
#include "tinytl/data/idx_file.h"

namespace tinytl {

// Which label is which class, after selection.
struct IdxClasses {
  std::vector<std::string> names;
  std::map<uint16_t, uint16_t> found;  // label in the training file -> position among all
  std::map<uint16_t, uint16_t> kept;   // label -> number of its class, for the kept ones
};

// The labels as stored, one for each of the samples. 65536 different ones are enough, and two bytes
// a row are not many.
std::vector<uint16_t> read_labels(const std::filesystem::path& path, const IdxFile& samples);

// The classes among the training labels. A line of classes.txt in `root` names each, if it exists.
IdxClasses classes_of(const std::filesystem::path& root, const std::vector<uint16_t>& labels,
                      const std::filesystem::path& label_file, const DatasetOptions& options);

// Throws InputError if a validation label is not among the training labels.
void check_val_labels(const std::vector<uint16_t>& labels, const IdxClasses& classes,
                      const std::filesystem::path& path);

}  // namespace tinytl

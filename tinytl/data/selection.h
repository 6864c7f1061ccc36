// Which classes and which samples of them are kept. Private to this folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tinytl/data/dataset.h"

namespace tinytl {

// Of `found` (sorted) those that options.keep_classes names. Throws InputError if one of them does
// not exist or fewer than two classes remain.
std::vector<std::string> select_classes(const std::filesystem::path& root,
                                        const std::vector<std::string>& found,
                                        const DatasetOptions& options);

// The position of `name`, or -1.
int find_class(const std::vector<std::string>& classes, const std::string& name);

// Whether a sample with this hash belongs to the validation part of data that comes unsplit.
bool in_validation(uint64_t hash, double val_fraction);

// Positions, ascending, of the samples of one class to keep: at most `limit` (0: all), the ones
// whose hash comes first, so that neighbours on disk are not favoured.
std::vector<size_t> keep_some(std::span<const uint64_t> hashes, int64_t limit);

DatasetSplits open_image_folders(const std::filesystem::path& root, const DatasetOptions& options);

// Whether the folder holds any file that open_idx() would read.
bool holds_idx_files(const std::filesystem::path& root);
DatasetSplits open_idx(const std::filesystem::path& root, const DatasetOptions& options);

}  // namespace tinytl

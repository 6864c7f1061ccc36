#include "tinytl/data/idx_labels.h"

#include <algorithm>
#include <fstream>
#include <limits>

#include "tinytl/data/selection.h"

namespace tinytl {
namespace fs = std::filesystem;
namespace {

std::vector<std::string> read_class_names(const fs::path& path) {
  std::vector<std::string> names;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  return names;
}

}  // namespace

std::vector<uint16_t> read_labels(const fs::path& path, const IdxFile& samples) {
  const IdxFile file(path);
  const size_t bytes = file.record_bytes();
  const bool integers = file.type() == IdxType::kUint8 || file.type() == IdxType::kInt8 ||
                        file.type() == IdxType::kInt16 || file.type() == IdxType::kInt32;
  if (!file.record_shape().empty() || !integers) {
    throw InputError("IDX file " + path.string() +
                     ": labels must be one integer a sample: it holds something else");
  }
  if (file.records() != samples.records()) {
    throw InputError("IDX file " + path.string() + ": " + std::to_string(file.records()) +
                     " labels for the " + std::to_string(samples.records()) + " samples of " +
                     samples.path().filename().string() + ": use files of the same set");
  }
  std::vector<uint16_t> labels(static_cast<size_t>(file.records()));
  std::vector<uint8_t> chunk;
  constexpr size_t kChunk = 16384;
  for (size_t i = 0; i < labels.size(); i += kChunk) {
    const size_t count = std::min(kChunk, labels.size() - i);
    chunk.resize(count * bytes);
    file.read(static_cast<int64_t>(i), chunk);
    for (size_t k = 0; k < count; ++k) {
      uint32_t value = file.type() != IdxType::kUint8 && chunk[k * bytes] >= 128 ? ~0u : 0u;
      for (size_t b = 0; b < bytes; ++b) value = value << 8 | chunk[k * bytes + b];
      if (value > std::numeric_limits<uint16_t>::max()) {
        throw InputError("IDX file " + path.string() + ": label " +
                         std::to_string(static_cast<int32_t>(value)) + " of row " +
                         std::to_string(i + k) + " is out of range: labels are 0 to 65535");
      }
      labels[i + k] = static_cast<uint16_t>(value);
    }
  }
  return labels;
}

IdxClasses classes_of(const fs::path& root, const std::vector<uint16_t>& labels,
                      const fs::path& label_file, const DatasetOptions& options) {
  const std::vector<std::string> listed = read_class_names(root / "classes.txt");
  IdxClasses classes;
  for (const uint16_t label : labels) classes.found.emplace(label, 0);
  std::vector<std::string> names;
  for (auto& [label, position] : classes.found) {
    if (!listed.empty() && label >= listed.size()) {
      throw InputError("IDX file " + label_file.string() + ": label " + std::to_string(label) +
                       " is out of range: classes.txt names " + std::to_string(listed.size()) +
                       " classes");
    }
    position = static_cast<uint16_t>(names.size());
    names.push_back(listed.empty() ? std::to_string(label) : listed[label]);
  }
  classes.names = select_classes(root, names, options);
  for (const auto& [label, position] : classes.found) {
    const int number = find_class(classes.names, names[position]);
    if (number >= 0) classes.kept[label] = static_cast<uint16_t>(number);
  }
  return classes;
}

void check_val_labels(const std::vector<uint16_t>& labels, const IdxClasses& classes,
                      const fs::path& path) {
  for (size_t i = 0; i < labels.size(); ++i) {
    if (classes.found.contains(labels[i])) continue;
    throw InputError("IDX file " + path.string() + ": label " + std::to_string(labels[i]) +
                     " of row " + std::to_string(i) +
                     " is out of range: no training sample has it");
  }
}

}  // namespace tinytl

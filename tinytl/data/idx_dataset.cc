// IDX data sets: pairs of files, one with the samples and one with their labels.

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <limits>
#include <optional>
#include <utility>

#include "tinytl/data/idx_file.h"
#include "tinytl/data/idx_labels.h"
#include "tinytl/data/random.h"
#include "tinytl/data/selection.h"

namespace tinytl {
namespace {

namespace fs = std::filesystem;

using Samples = std::shared_ptr<const IdxFile>;

class IdxDataset final : public Dataset {
 public:
  // rows    of the file, one per sample; empty: all of them
  // labels  class of each sample; empty: there are none
  IdxDataset(Samples file, std::vector<std::string> classes, std::vector<uint32_t> rows,
             std::vector<uint16_t> labels, int64_t size)
      : file_(std::move(file)), rows_(std::move(rows)), labels_(std::move(labels)), size_(size) {
    classes_ = std::move(classes);
    shape_ = file_->record_shape();
    if (kind() == SampleKind::kImage && shape_.size() == 2) shape_.push_back(1);
  }

  SampleKind kind() const override {
    return file_->type() == IdxType::kFloat ? SampleKind::kFloats : SampleKind::kImage;
  }
  int64_t size() const override { return size_; }
  int32_t label(int64_t i) const override { return labels_.empty() ? -1 : labels_[i]; }
  std::vector<int64_t> sample_shape() const override { return shape_; }

  std::string name(int64_t i) const override {
    return file_->path().string() + " row " + std::to_string(row(i));
  }

  void load(int64_t i, int channels, int, Sample& out) const override {
    if (kind() == SampleKind::kFloats) return load_floats(i, out.floats);
    out.image.height = static_cast<int>(shape_[0]);
    out.image.width = static_cast<int>(shape_[1]);
    out.image.channels = static_cast<int>(shape_[2]);
    out.image.pixels.resize(file_->record_bytes());
    file_->read(row(i), out.image.pixels);
    if (out.image.channels != channels) {
      out.image = with_channels(std::move(out.image), channels);
    }
  }

 private:
  int64_t row(int64_t i) const { return rows_.empty() ? i : rows_[i]; }

  void load_floats(int64_t i, std::vector<float>& out) const {
    out.resize(file_->record_bytes() / sizeof(float));
    const std::span bytes(reinterpret_cast<uint8_t*>(out.data()), file_->record_bytes());
    file_->read(row(i), bytes);
    for (size_t k = 0; k < out.size(); ++k) {
      const uint8_t* b = &bytes[4 * k];
      const uint32_t bits = uint32_t{b[0]} << 24 | b[1] << 16 | b[2] << 8 | b[3];
      out[k] = std::bit_cast<float>(bits);
    }
  }

  Samples file_;
  std::vector<int64_t> shape_;
  std::vector<uint32_t> rows_;
  std::vector<uint16_t> labels_;
  int64_t size_;
};

struct IdxPair {
  std::optional<fs::path> samples, labels;
};

// The files of a folder by what their names say.
struct IdxFiles {
  IdxPair train, val;
};

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

void assign(std::optional<fs::path>& slot, const fs::path& path) {
  if (slot) {
    // The same file, packed and unpacked: the unpacked one saves the temporary copy.
    if (path.string() + ".gz" == slot->string()) slot = path;
    if (path == *slot || path.string() == slot->string() + ".gz") return;
    throw InputError("data set " + path.parent_path().string() + ": both " +
                     slot->filename().string() + " and " + path.filename().string() +
                     " look like the same part of it: keep one of them");
  }
  slot = path;
}

IdxFiles find_files(const fs::path& root) {
  std::vector<fs::path> paths;
  for (const fs::directory_entry& entry : fs::directory_iterator(root)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  IdxFiles files;
  for (const fs::path& path : paths) {
    const std::string name = lower_case(path.filename().string());
    if (!contains(name, "idx") || name.front() == '.') continue;
    const bool is_train = contains(name, "train");
    if (!is_train && !contains(name, "val") && !contains(name, "test") && !contains(name, "t10k")) {
      continue;
    }
    IdxPair& pair = is_train ? files.train : files.val;
    assign(contains(name, "label") ? pair.labels : pair.samples, path);
  }
  return files;
}

Samples open_samples(const fs::path& path) {
  auto file = std::make_shared<IdxFile>(path);
  const std::vector<int64_t> shape = file->record_shape();
  const std::string advice =
      ": images are bytes [N,H,W] or [N,H,W,C] with 1 or 3 channels, vectors are floats [N,...]";
  const bool is_image =
      file->type() == IdxType::kUint8 &&
      (shape.size() == 2 || (shape.size() == 3 && (shape[2] == 1 || shape[2] == 3)));
  const bool is_vector = file->type() == IdxType::kFloat && !shape.empty();
  if (!is_image && !is_vector) {
    throw InputError("IDX file " + path.string() + ": neither images nor float vectors" + advice);
  }
  if (file->record_bytes() > size_t{4} * kMaxImagePixels ||
      file->records() > std::numeric_limits<uint32_t>::max()) {
    throw InputError("IDX file " + path.string() + ": its samples are too large" + advice);
  }
  return file;
}

// Which rows of a file make a split: all, or one part of a file that holds both.
enum class Part { kAll, kTrain, kVal };

bool belongs(uint32_t row, Part part, double val_fraction) {
  return part == Part::kAll ||
         in_validation(mix_bits(row + 1), val_fraction) == (part == Part::kVal);
}

std::unique_ptr<Dataset> make_labelled(const Samples& samples, const std::vector<uint16_t>& labels,
                                       const IdxClasses& classes, Part part, double val_fraction,
                                       int64_t limit) {
  std::vector<std::vector<uint32_t>> rows_of_class(classes.names.size());
  for (uint32_t row = 0; row < labels.size(); ++row) {
    const auto kept = classes.kept.find(labels[row]);
    if (kept == classes.kept.end() || !belongs(row, part, val_fraction)) continue;
    rows_of_class[kept->second].push_back(row);
  }
  std::vector<std::pair<uint32_t, uint16_t>> chosen;
  for (size_t c = 0; c < rows_of_class.size(); ++c) {
    std::vector<uint64_t> hashes;
    for (const uint32_t row : rows_of_class[c]) hashes.push_back(mix_bits(row + 1));
    for (const size_t i : keep_some(hashes, limit)) {
      chosen.emplace_back(rows_of_class[c][i], static_cast<uint16_t>(c));
    }
  }
  std::sort(chosen.begin(), chosen.end());
  std::vector<uint32_t> rows;
  std::vector<uint16_t> numbers;
  rows.reserve(chosen.size());
  numbers.reserve(chosen.size());
  for (const auto& [row, number] : chosen) {
    rows.push_back(row);
    numbers.push_back(number);
  }
  const auto size = static_cast<int64_t>(rows.size());
  if (size == samples->records()) rows = {};
  return std::make_unique<IdxDataset>(samples, classes.names, std::move(rows), std::move(numbers),
                                      size);
}

std::unique_ptr<Dataset> make_unlabelled(const Samples& samples, Part part,
                                         const DatasetOptions& options) {
  std::vector<uint32_t> rows;
  int64_t size = samples->records();
  if (part != Part::kAll) {
    for (uint32_t row = 0; row < samples->records(); ++row) {
      if (belongs(row, part, options.val_fraction)) rows.push_back(row);
    }
    size = static_cast<int64_t>(rows.size());
  }
  return std::make_unique<IdxDataset>(samples, std::vector<std::string>{}, std::move(rows),
                                      std::vector<uint16_t>{}, size);
}

void check_same_shape(const Samples& train, const Samples& val) {
  if (train->record_shape() == val->record_shape() && train->type() == val->type()) return;
  throw InputError("IDX file " + val->path().string() + ": its samples differ in shape or type " +
                   "from those of " + train->path().filename().string() +
                   ": use files of the same set");
}

DatasetSplits open_unlabelled(const Samples& train, const Samples& val,
                              const DatasetOptions& options) {
  if (train->type() != IdxType::kFloat) {
    throw InputError("data set " + train->path().parent_path().string() +
                     ": images without labels: add " + "train-labels-idx1-ubyte");
  }
  if (!options.keep_classes.empty() || options.max_per_class > 0 || options.max_val_per_class > 0) {
    throw InputError("data set " + train->path().parent_path().string() +
                     ": it has no labels, so classes cannot be chosen: drop that option");
  }
  DatasetSplits splits;
  splits.train = make_unlabelled(train, val ? Part::kAll : Part::kTrain, options);
  splits.val = make_unlabelled(val ? val : train, val ? Part::kAll : Part::kVal, options);
  return splits;
}

DatasetSplits open_labelled(const fs::path& root, const IdxFiles& files, const Samples& train,
                            const Samples& val, const DatasetOptions& options) {
  const std::vector<uint16_t> labels = read_labels(*files.train.labels, *train);
  const IdxClasses classes = classes_of(root, labels, *files.train.labels, options);
  DatasetSplits splits;
  splits.train = make_labelled(train, labels, classes, val ? Part::kAll : Part::kTrain,
                               options.val_fraction, options.max_per_class);
  if (!val) {
    splits.val = make_labelled(train, labels, classes, Part::kVal, options.val_fraction,
                               options.max_val_per_class);
    return splits;
  }
  const std::vector<uint16_t> val_labels = read_labels(*files.val.labels, *val);
  check_val_labels(val_labels, classes, *files.val.labels);
  splits.val = make_labelled(val, val_labels, classes, Part::kAll, options.val_fraction,
                             options.max_val_per_class);
  return splits;
}

}  // namespace

bool holds_idx_files(const fs::path& root) {
  const IdxFiles files = find_files(root);
  return files.train.samples || files.train.labels || files.val.samples || files.val.labels;
}

DatasetSplits open_idx(const fs::path& root, const DatasetOptions& options) {
  const IdxFiles files = find_files(root);
  const std::string where = "data set " + root.string() + ": ";
  if (!files.train.samples) {
    throw InputError(where + "IDX files without training samples: add train-images-idx3-ubyte");
  }
  if (files.val.labels && !files.val.samples) {
    throw InputError(where + "validation labels without samples: add t10k-images-idx3-ubyte");
  }
  const bool labelled = files.train.labels.has_value();
  if (files.val.samples && files.val.labels.has_value() != labelled) {
    throw InputError(where + "labels for only one of training and validation: add the other");
  }
  const Samples train = open_samples(*files.train.samples);
  const Samples val = files.val.samples ? open_samples(*files.val.samples) : nullptr;
  if (val) check_same_shape(train, val);
  return labelled ? open_labelled(root, files, train, val, options)
                  : open_unlabelled(train, val, options);
}

}  // namespace tinytl

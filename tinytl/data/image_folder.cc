// Image folders: CLASS/*.jpg, with or without train/ and val/ around them.

#include <algorithm>
#include <cctype>
#include <limits>
#include <utility>

#include "tinytl/data/random.h"
#include "tinytl/data/selection.h"

namespace tinytl {
namespace {

namespace fs = std::filesystem;

// Names are kept in one string, without their folders: about 20 bytes an image.
class ImageFolder final : public Dataset {
 public:
  ImageFolder(fs::path root, std::vector<std::string> classes) : root_(std::move(root)) {
    classes_ = std::move(classes);
  }

  // Classes must be added in the order of classes().
  void add_class(const std::vector<std::string>& files) {
    class_begin_.push_back(size());
    for (const std::string& file : files) {
      names_ += file;
      if (names_.size() > std::numeric_limits<uint32_t>::max()) {
        throw InputError("data set " + root_.string() +
                         ": more than 4 GiB of file names: split it into smaller ones");
      }
      name_end_.push_back(static_cast<uint32_t>(names_.size()));
    }
  }

  void shrink_to_fit() {
    names_.shrink_to_fit();
    name_end_.shrink_to_fit();
  }

  SampleKind kind() const override { return SampleKind::kImage; }
  int64_t size() const override { return static_cast<int64_t>(name_end_.size()); }
  std::vector<int64_t> sample_shape() const override { return {}; }

  int32_t label(int64_t i) const override {
    const auto next = std::upper_bound(class_begin_.begin(), class_begin_.end(), i);
    return static_cast<int32_t>(next - class_begin_.begin()) - 1;
  }

  std::string name(int64_t i) const override { return path(i).string(); }

  void load(int64_t i, int channels, int at_least_side, Sample& out) const override {
    out.image = {};  // never two images at once
    out.image = decode_image(path(i), channels, at_least_side);
  }

 private:
  fs::path path(int64_t i) const {
    const size_t begin = i == 0 ? 0 : name_end_[i - 1];
    return root_ / classes_[label(i)] / names_.substr(begin, name_end_[i] - begin);
  }

  fs::path root_;
  std::string names_;
  std::vector<uint32_t> name_end_;    // of each sample, in names_
  std::vector<int64_t> class_begin_;  // first sample of each class
};

bool is_hidden(const fs::path& path) { return path.filename().string().front() == '.'; }

bool has_image_name(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

std::vector<std::string> class_folders(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory() && !is_hidden(entry.path())) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  if (names.empty()) {
    throw InputError("data set " + folder.string() +
                     ": no class folders: put the images of each class into a folder of its own");
  }
  return names;
}

// Sorted names of the images of a class; counts what else lies there.
std::vector<std::string> image_files(const fs::path& folder, int64_t& ignored) {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (is_hidden(entry.path()) || !has_image_name(entry.path()) || entry.is_directory()) {
      ++ignored;
    } else {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> training_files(const fs::path& folder, int64_t& ignored) {
  std::vector<std::string> names = image_files(folder, ignored);
  if (names.empty()) {
    throw InputError("data set: class folder " + folder.string() +
                     " is empty: add .jpg or .png images or remove it");
  }
  return names;
}

std::vector<uint64_t> hashes_of(const std::string& class_name,
                                const std::vector<std::string>& files) {
  std::vector<uint64_t> hashes;
  for (const std::string& file : files) hashes.push_back(hash_text(class_name + "/" + file));
  return hashes;
}

std::vector<std::string> limited(const std::string& class_name,
                                 const std::vector<std::string>& files, int64_t limit) {
  std::vector<std::string> kept;
  for (const size_t i : keep_some(hashes_of(class_name, files), limit)) kept.push_back(files[i]);
  return kept;
}

struct FileSplit {
  std::vector<std::string> train, val;
};

FileSplit split_files(const std::string& class_name, const std::vector<std::string>& files,
                      double val_fraction) {
  const std::vector<uint64_t> hashes = hashes_of(class_name, files);
  // The last to be moved to validation stays, so that no class is left without training images.
  const size_t stays = std::max_element(hashes.begin(), hashes.end()) - hashes.begin();
  FileSplit split;
  for (size_t i = 0; i < files.size(); ++i) {
    const bool to_val = i != stays && in_validation(hashes[i], val_fraction);
    (to_val ? split.val : split.train).push_back(files[i]);
  }
  return split;
}

DatasetSplits open_unsplit(const fs::path& folder, const DatasetOptions& options) {
  const auto classes = select_classes(folder, class_folders(folder), options);
  auto train = std::make_unique<ImageFolder>(folder, classes);
  auto val = std::make_unique<ImageFolder>(folder, classes);
  DatasetSplits splits;
  for (const std::string& name : classes) {
    const auto files = training_files(folder / name, splits.ignored_files);
    const FileSplit split = split_files(name, files, options.val_fraction);
    train->add_class(limited(name, split.train, options.max_per_class));
    val->add_class(limited(name, split.val, options.max_val_per_class));
  }
  train->shrink_to_fit();
  val->shrink_to_fit();
  splits.train = std::move(train);
  splits.val = std::move(val);
  return splits;
}

void check_val_classes(const fs::path& folder, const std::vector<std::string>& train_classes) {
  for (const std::string& name : class_folders(folder)) {
    if (find_class(train_classes, name) >= 0) continue;
    throw InputError("data set: class \"" + name + "\" in " + folder.string() +
                     " has no training images: add train/" + name + " or remove it");
  }
}

DatasetSplits open_split(const fs::path& train_folder, const fs::path& val_folder,
                         const DatasetOptions& options) {
  const std::vector<std::string> found = class_folders(train_folder);
  check_val_classes(val_folder, found);
  const auto classes = select_classes(train_folder, found, options);
  auto train = std::make_unique<ImageFolder>(train_folder, classes);
  auto val = std::make_unique<ImageFolder>(val_folder, classes);
  DatasetSplits splits;
  for (const std::string& name : classes) {
    const auto files = training_files(train_folder / name, splits.ignored_files);
    train->add_class(limited(name, files, options.max_per_class));
    const auto val_files = fs::is_directory(val_folder / name)
                               ? image_files(val_folder / name, splits.ignored_files)
                               : std::vector<std::string>{};
    val->add_class(limited(name, val_files, options.max_val_per_class));
  }
  if (val->size() == 0) {
    throw InputError("data set: no images in " + val_folder.string() +
                     ": add val/CLASS/*.jpg, or remove the folder to split the training images");
  }
  train->shrink_to_fit();
  val->shrink_to_fit();
  splits.train = std::move(train);
  splits.val = std::move(val);
  return splits;
}

}  // namespace

DatasetSplits open_image_folders(const fs::path& root, const DatasetOptions& options) {
  const fs::path train = root / "train";
  if (!fs::is_directory(train)) return open_unsplit(root, options);
  for (const char* name : {"val", "valid", "validation", "test"}) {
    if (fs::is_directory(root / name)) return open_split(train, root / name, options);
  }
  return open_unsplit(train, options);
}

}  // namespace tinytl

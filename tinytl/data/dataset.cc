#include "tinytl/data/dataset.h"

#include <algorithm>
#include <numeric>
#include <system_error>

#include "tinytl/data/random.h"
#include "tinytl/data/selection.h"

namespace tinytl {
namespace fs = std::filesystem;

std::vector<std::string> select_classes(const fs::path& root, const std::vector<std::string>& found,
                                        const DatasetOptions& options) {
  std::vector<std::string> kept = options.keep_classes.empty() ? found : options.keep_classes;
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  for (const std::string& name : kept) {
    if (find_class(found, name) >= 0) continue;
    throw InputError("data set " + root.string() + ": no class \"" + name + "\": choose from its " +
                     std::to_string(found.size()) + " classes, such as \"" + found.front() + "\"");
  }
  if (kept.size() < 2) {
    throw InputError("data set " + root.string() + ": only one class (\"" + kept.front() +
                     "\"): learning to tell classes apart needs two or more");
  }
  // IDX classes are numbers, for which the order of names is not the order of `found`.
  std::vector<std::string> in_order;
  std::copy_if(found.begin(), found.end(), std::back_inserter(in_order),
               [&](const std::string& name) { return find_class(kept, name) >= 0; });
  return in_order;
}

int find_class(const std::vector<std::string>& classes, const std::string& name) {
  const auto at = std::find(classes.begin(), classes.end(), name);
  return at == classes.end() ? -1 : static_cast<int>(at - classes.begin());
}

bool in_validation(uint64_t hash, double val_fraction) {
  return unit_interval(hash) < val_fraction;
}

std::vector<size_t> keep_some(std::span<const uint64_t> hashes, int64_t limit) {
  std::vector<size_t> kept(hashes.size());
  std::iota(kept.begin(), kept.end(), size_t{0});
  if (limit <= 0 || kept.size() <= static_cast<size_t>(limit)) return kept;
  // The split uses the same hashes: mixed once more, the choice is independent of it.
  const auto rank = [&](size_t i) { return std::pair(mix_bits(~hashes[i]), i); };
  std::sort(kept.begin(), kept.end(), [&](size_t a, size_t b) { return rank(a) < rank(b); });
  kept.resize(static_cast<size_t>(limit));
  std::sort(kept.begin(), kept.end());
  return kept;
}

DatasetSplits open_dataset(const fs::path& root, const DatasetOptions& options) try {
  if (!fs::is_directory(root)) {
    throw InputError("data set " + root.string() + ": no such folder: name one that holds " +
                     "train/CLASS/*.jpg or IDX files");
  }
  if (!(options.val_fraction >= 0 && options.val_fraction < 1)) {
    throw InputError("data set " + root.string() + ": the validation fraction must be in [0, 1)");
  }
  // A list such as train_idx.csv beside image folders does not make them IDX data.
  const bool is_idx = !fs::is_directory(root / "train") && holds_idx_files(root);
  return is_idx ? open_idx(root, options) : open_image_folders(root, options);
} catch (const fs::filesystem_error& error) {
  throw InputError("data set " + root.string() + ": cannot read " + error.path1().string() + " (" +
                   error.code().message() + "): check its permissions");
}

}  // namespace tinytl

#include "tinytl/cli/places.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "engine/graph/error.h"

namespace tinytl::cli {
namespace {

// "--model, --save and --report"
std::string flags_text(const std::vector<OutputFile>& files) {
  std::string text = "--model";
  for (size_t i = 0; i < files.size(); ++i) {
    text += (i + 1 < files.size() ? ", " : " and ") + files[i].flag;
  }
  return text;
}

// One name for a place, however it is written, whether the file exists or not.
std::filesystem::path place_of(const std::string& file) {
  return std::filesystem::weakly_canonical(std::filesystem::absolute(file));
}

void check_writable(const std::string& file) {
  if (std::filesystem::is_directory(file)) {
    throw InputError(file + ": is a folder; name a file in it");
  }
  std::filesystem::path folder = std::filesystem::path(file).parent_path();
  if (folder.empty()) folder = ".";
  if (access(folder.c_str(), W_OK | X_OK) != 0) {
    throw InputError(file +
                     ": its folder does not exist or cannot be written; make it, or choose "
                     "another place");
  }
}

}  // namespace

void check_places(const std::string& model, const std::vector<OutputFile>& files) {
  std::vector<std::filesystem::path> taken;
  if (!model.empty()) taken.push_back(place_of(model));
  for (const auto& [flag, file] : files) {
    if (file.empty()) continue;
    const std::filesystem::path place = place_of(file);
    const bool is_device = std::filesystem::is_other(file);
    if (!is_device && std::ranges::find(taken, place) != taken.end()) {
      throw CLI::ValidationError(file + ": " + flags_text(files) + " need files of their own");
    }
    taken.push_back(place);
    check_writable(file);
  }
}

}  // namespace tinytl::cli

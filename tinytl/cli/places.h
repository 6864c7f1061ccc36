// The files a command is asked to write.
#pragma once

#include <string>
#include <vector>

namespace tinytl::cli {

struct OutputFile {
  std::string flag;  // "--report"
  std::string file;  // empty: not asked for
};

// Every file that is written needs a place of its own, and none may be `model` (empty: no
// file). Throws
// CLI::ValidationError where two are the same, and InputError where one cannot be written.
void check_places(const std::string& model, const std::vector<OutputFile>& files);

}  // namespace tinytl::cli

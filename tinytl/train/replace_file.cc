#include "tinytl/train/replace_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "engine/graph/error.h"

namespace tinytl {
namespace {

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& target)
      : target_(target), path_(target.string() + ".tmp" + std::to_string(getpid())) {
    descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail();
  }
  ~TemporaryFile() {
    if (descriptor_ >= 0) close(descriptor_);
    if (!renamed_) unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write_all(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = write(descriptor_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail();
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
  }

  void take_name() {
    if (fsync(descriptor_) != 0) fail();
    const int descriptor = descriptor_;
    descriptor_ = -1;
    if (close(descriptor) != 0 || rename(path_.c_str(), target_.c_str()) != 0) fail();
    renamed_ = true;
  }

 private:
  [[noreturn]] void fail() {
    const std::string reason = std::strerror(errno);
    throw InputError(target_.string() + ": cannot be written: " + reason +
                     "; free space or choose another place (what was there before is untouched)");
  }
  std::filesystem::path target_;
  std::string path_;
  int descriptor_ = -1;
  bool renamed_ = false;
};

bool is_device_or_pipe(const std::filesystem::path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  return std::filesystem::is_other(status);
}

// A link is followed, so that it stays and what it points to is replaced.
std::filesystem::path final_target(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_symlink(path, error)) return path;
  const auto target = std::filesystem::weakly_canonical(path, error);
  return error ? path : target;
}

}  // namespace

void replace_file(const std::filesystem::path& path,
                  std::span<const std::span<const std::byte>> parts) {
  if (is_device_or_pipe(path)) {  // /dev/stdout: written to, never replaced
    std::ofstream out(path, std::ios::binary);
    for (const auto part : parts) {
      out.write(reinterpret_cast<const char*>(part.data()),
                static_cast<std::streamsize>(part.size()));
    }
    out.close();
    if (!out) throw InputError(path.string() + ": cannot be written; choose another place");
    return;
  }
  TemporaryFile file(final_target(path));
  for (const auto part : parts) file.write_all(part);
  file.take_name();
}

void replace_file(const std::filesystem::path& path, std::string_view text) {
  const std::span<const std::byte> part = std::as_bytes(std::span(text.data(), text.size()));
  replace_file(path, std::span(&part, 1));
}

}  // namespace tinytl

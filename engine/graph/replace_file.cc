#include "engine/graph/replace_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "engine/graph/error.h"

namespace tinytl {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, int error, const char* advice) {
  throw InputError(path.string() + ": cannot be written: " + std::strerror(error) + "; " + advice);
}

class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& target)
      : target_(target), path_(target.string() + ".tmp" + std::to_string(getpid())) {
    descriptor_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor_ < 0) fail_to_write(errno);
  }
  ~TemporaryFile() {
    if (descriptor_ >= 0) close(descriptor_);
    if (!renamed_) unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(const FileWriter& writer) {
    const int error = writer(descriptor_);
    if (error != 0) fail_to_write(error);
  }

  void take_name() {
    if (fsync(descriptor_) != 0) fail_to_write(errno);
    if (close(std::exchange(descriptor_, -1)) != 0) fail_to_write(errno);
    if (rename(path_.c_str(), target_.c_str()) != 0) fail_to_write(errno);
    renamed_ = true;
  }

 private:
  [[noreturn]] void fail_to_write(int error) const {
    fail(target_, error, "free space or choose another place (what was there before is untouched)");
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

// /dev/stdout: written to, never replaced.
void write_in_place(const std::filesystem::path& path, const FileWriter& write) {
  constexpr const char* kAdvice = "choose another place";
  const int descriptor = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) fail(path, errno, kAdvice);
  int error = 0;
  try {
    error = write(descriptor);
  } catch (...) {
    close(descriptor);
    throw;
  }
  if (close(descriptor) != 0 && error == 0) error = errno;
  if (error != 0) fail(path, error, kAdvice);
}

// A link is followed, so that it stays and what it points to is replaced.
std::filesystem::path final_target(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_symlink(path, error)) return path;
  const auto target = std::filesystem::weakly_canonical(path, error);
  return error ? path : target;
}

int write_all(int descriptor, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
  return 0;
}

}  // namespace

void replace_file(const std::filesystem::path& path, const FileWriter& write) {
  if (is_device_or_pipe(path)) {
    write_in_place(path, write);
    return;
  }
  TemporaryFile file(final_target(path));
  file.write(write);
  file.take_name();
}

void replace_file(const std::filesystem::path& path,
                  std::span<const std::span<const std::byte>> parts) {
  replace_file(path, [&](int descriptor) {
    for (const auto part : parts) {
      if (const int error = write_all(descriptor, part); error != 0) return error;
    }
    return 0;
  });
}

void replace_file(const std::filesystem::path& path, std::string_view text) {
  const std::span<const std::byte> part = std::as_bytes(std::span(text.data(), text.size()));
  replace_file(path, std::span(&part, 1));
}

}  // namespace tinytl

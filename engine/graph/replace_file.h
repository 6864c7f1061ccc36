// Writing a file so that it is either the old one or the new one, never half of either.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>

namespace tinytl {

// Writes everything to the open file; 0, or the errno of what failed.
using FileWriter = std::function<int(int descriptor)>;

// Writes a temporary file beside `path`, flushes it to the disk and renames it. A symbolic link
// stays and its target is replaced; a device or a pipe is written to. Throws InputError with the
// system's reason; the old file is then untouched.
void replace_file(const std::filesystem::path& path, const FileWriter& write);

// The same for bytes that are in memory: the parts one after the other, or a text.
void replace_file(const std::filesystem::path& path,
                  std::span<const std::span<const std::byte>> parts);
void replace_file(const std::filesystem::path& path, std::string_view text);

}  // namespace tinytl

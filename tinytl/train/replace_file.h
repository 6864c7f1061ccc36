// Writing a file so that it is either the old one or the new one, never half of either.
#pragma once

#include <filesystem>
#include <span>

namespace tinytl {

// Writes the parts one after the other to a temporary file beside `path`, flushes it to the disk
// and renames it. Throws InputError with the system's reason; the old file is then untouched.
void replace_file(const std::filesystem::path& path,
                  std::span<const std::span<const std::byte>> parts);
void replace_file(const std::filesystem::path& path, std::string_view text);

}  // namespace tinytl

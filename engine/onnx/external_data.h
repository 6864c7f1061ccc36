// Numbers that are read from a file only when they are needed.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>

namespace onnx {
class TensorProto;
}

namespace tinytl::internal {

struct FileRange {
  std::filesystem::path file;
  uint64_t offset = 0;
  size_t bytes = 0;
};

// Where the data of a model lie.
struct ModelFiles {
  std::filesystem::path folder;  // external data must be inside it
  std::filesystem::path model;   // itself
};

// The location, in place of a file name, of large tensors that read_onnx left in the model itself.
inline constexpr char kInModel[] = "\x01";

// The `bytes` bytes that `tensor` says lie in another file (or in the model).
// Throws InputError where that file is outside the folder, missing or too short.
FileRange external_range(const onnx::TensorProto& tensor, const ModelFiles& files, size_t bytes);

// Reads the range in pieces of at most 256 KB. Throws InputError where that fails.
void read_pieces(const FileRange& range, const std::function<void(std::span<const char>)>& piece);

std::string read_all(const FileRange& range);

}  // namespace tinytl::internal

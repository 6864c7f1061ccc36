// The safetensors file format (huggingface.co/docs/safetensors): an 8-byte length, a JSON header,
// raw little-endian tensors.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/graph/tensor.h"

namespace tinytl {

struct NamedTensor {
  std::string name;
  std::shared_ptr<Tensor> tensor;  // f32, i32 or i8
};

struct TensorFile {
  std::vector<NamedTensor> tensors;             // in file order
  std::map<std::string, std::string> metadata;  // "__metadata__"

  const Tensor* find(std::string_view name) const;
};

// Replaces `path` in one step: a crash, a full disk or a power cut leaves the old file whole. The
// same content gives the same bytes. Throws InputError where it cannot be written.
void write_safetensors(const std::filesystem::path& path, const TensorFile& file);

// Throws InputError naming what is wrong with the file.
TensorFile read_safetensors(const std::filesystem::path& path);

}  // namespace tinytl

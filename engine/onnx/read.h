// From bytes on disk to a checked ONNX model whose numbers lie beside it.
#pragma once

#include <onnx/onnx_pb.h>

#include <map>

#include "engine/onnx/literal.h"

namespace tinytl::internal {

struct OnnxFile {
  std::string name;        // of the file, for messages
  onnx::ModelProto model;  // its large tensors are stubs
  int64_t opset = 0;
  std::map<std::string, LiteralPtr> constants;  // initializers and Constant nodes, by tensor name
};

// Throws InputError where the file cannot be read, is not ONNX, or is of an unsupported version.
OnnxFile read_onnx(const std::filesystem::path& file);

// The same for a model in memory; its external data, if any, lies in `files.folder`.
OnnxFile open_onnx(onnx::ModelProto model, std::string name, const ModelFiles& files);

// Throws InputError where libonnx's checker rejects the model. It stops at the first operator it
// does not know, so it is left out for models that have one (translate() lists them all) and for
// opsets newer than it.
void run_checker(OnnxFile& file);

}  // namespace tinytl::internal

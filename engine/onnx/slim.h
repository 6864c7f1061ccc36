// Parsing an ONNX file without its large tensors.
#pragma once

#include <google/protobuf/io/zero_copy_stream.h>
#include <onnx/onnx_pb.h>

namespace tinytl::internal {

// Parses a model from its first byte, but leaves the `raw_data` of large initializers where they
// are: such a tensor becomes one with external data at kInModel (external_data.h), with the offset
// and length of its numbers in the stream. False where the bytes are not a message.
bool parse_slim(google::protobuf::io::ZeroCopyInputStream& stream, onnx::ModelProto& model);

}  // namespace tinytl::internal

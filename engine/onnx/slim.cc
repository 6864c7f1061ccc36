#include "engine/onnx/slim.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include "engine/onnx/external_data.h"

namespace tinytl::internal {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;

// Tags of ModelProto.graph, GraphProto.initializer and TensorProto.raw_data.
constexpr uint32_t kGraph = 7 << 3 | 2, kInitializer = 5 << 3 | 2, kRawData = 9 << 3 | 2;
constexpr int kLarge = 4096;  // bytes

// A field of a message: copies it, changed or not. False where it is malformed.
using CopyField = bool (*)(uint32_t tag, CodedInputStream&, CodedOutputStream&);

bool copy_message(CodedInputStream& in, CodedOutputStream& out, CopyField copy_field) {
  while (const uint32_t tag = in.ReadTag()) {
    if (!copy_field(tag, in, out)) return false;
  }
  return in.ConsumedEntireMessage();
}

// A message inside another: its length may change.
bool copy_inner(uint32_t tag, CodedInputStream& in, CodedOutputStream& out, CopyField copy_field) {
  int length = 0;
  if (!in.ReadVarintSizeAsInt(&length)) return false;
  const auto limit = in.PushLimit(length);
  std::string inner;
  {
    StringOutputStream stream(&inner);
    CodedOutputStream coded(&stream);
    if (!copy_message(in, coded, copy_field) || in.BytesUntilLimit() != 0) return false;
  }
  in.PopLimit(limit);
  out.WriteTag(tag);
  out.WriteVarint64(inner.size());
  out.WriteString(inner);
  return true;
}

bool copy_tensor_field(uint32_t tag, CodedInputStream& in, CodedOutputStream& out) {
  if (tag != kRawData) return WireFormatLite::SkipField(&in, tag, &out);
  int length = 0;
  if (!in.ReadVarintSizeAsInt(&length)) return false;
  if (length >= kLarge) {
    onnx::TensorProto place;
    place.set_data_location(onnx::TensorProto::EXTERNAL);
    const auto entry = [&](const char* key, const std::string& value) {
      onnx::StringStringEntryProto& e = *place.add_external_data();
      e.set_key(key);
      e.set_value(value);
    };
    entry("location", kInModel);
    entry("offset", std::to_string(in.CurrentPosition()));
    entry("length", std::to_string(length));
    place.SerializeToCodedStream(&out);
    return in.Skip(length);
  }
  std::string bytes;
  if (!in.ReadString(&bytes, length)) return false;
  out.WriteTag(tag);
  out.WriteVarint64(bytes.size());
  out.WriteString(bytes);
  return true;
}

bool copy_graph_field(uint32_t tag, CodedInputStream& in, CodedOutputStream& out) {
  if (tag == kInitializer) return copy_inner(tag, in, out, copy_tensor_field);
  return WireFormatLite::SkipField(&in, tag, &out);
}

bool copy_model_field(uint32_t tag, CodedInputStream& in, CodedOutputStream& out) {
  if (tag == kGraph) return copy_inner(tag, in, out, copy_graph_field);
  return WireFormatLite::SkipField(&in, tag, &out);
}

}  // namespace

bool parse_slim(google::protobuf::io::ZeroCopyInputStream& stream, onnx::ModelProto& model) {
  std::string slim;
  {
    CodedInputStream in(&stream);
    StringOutputStream target(&slim);
    CodedOutputStream out(&target);
    if (!copy_message(in, out, copy_model_field)) return false;
  }
  return model.ParseFromString(slim);
}

}  // namespace tinytl::internal

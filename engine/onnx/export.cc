#include "engine/onnx/export.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>

#include <cerrno>
#include <utility>

#include "engine/graph/replace_file.h"
#include "engine/onnx/exporter.h"

namespace tinytl {
namespace {

using google::protobuf::io::CodedOutputStream;
using internal::Exporter;
using internal::Initializer;

// Numbers of protobuf's wire format: ModelProto.graph, GraphProto.initializer,
// TensorProto.raw_data.
constexpr uint32_t kGraphTag = 7 << 3 | 2, kInitializerTag = 5 << 3 | 2, kRawDataTag = 9 << 3 | 2;

size_t length_delimited(size_t bytes) { return 1 + CodedOutputStream::VarintSize64(bytes) + bytes; }

onnx::TensorProto header_of(const Initializer& initializer) {
  onnx::TensorProto tensor;
  tensor.set_name(initializer.name);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  for (const int64_t dim : initializer.shape) tensor.add_dims(dim);
  return tensor;
}

size_t data_bytes(const Graph& graph, const Initializer& initializer) {
  return graph.value(initializer.value).type.bytes();
}

size_t tensor_bytes(const Graph& graph, const Initializer& initializer) {
  return header_of(initializer).ByteSizeLong() + length_delimited(data_bytes(graph, initializer));
}

void write_initializer(CodedOutputStream& out, const Graph& graph, const Initializer& initializer) {
  const std::span<const float> values = graph.value(initializer.value).data->f32();
  out.WriteVarint32(kInitializerTag);
  out.WriteVarint64(tensor_bytes(graph, initializer));
  header_of(initializer).SerializeToCodedStream(&out);
  out.WriteVarint32(kRawDataTag);
  out.WriteVarint64(values.size_bytes());
  if (internal::moves_only_ones(initializer.from, initializer.order)) {
    out.WriteRaw(values.data(), static_cast<int>(values.size_bytes()));
    return;
  }
  std::vector<float> ordered(values.size());
  internal::permute(values, initializer.from, initializer.order, ordered);
  out.WriteRaw(ordered.data(), static_cast<int>(values.size_bytes()));
}

// The model as protobuf would write it, but with one large tensor in memory at a time.
void write_model(CodedOutputStream& out, Exporter& exporter) {
  const Graph& graph = exporter.graph();
  const onnx::GraphProto small = std::move(*exporter.model.mutable_graph());
  exporter.model.clear_graph();
  exporter.model.SerializeToCodedStream(&out);
  size_t bytes = small.ByteSizeLong();
  for (const Initializer& i : exporter.initializers) {
    bytes += length_delimited(tensor_bytes(graph, i));
  }
  if (bytes > INT32_MAX) throw InputError("the model is larger than ONNX files can be (2 GB)");
  out.WriteVarint32(kGraphTag);
  out.WriteVarint64(bytes);
  small.SerializeToCodedStream(&out);
  for (const Initializer& i : exporter.initializers) write_initializer(out, graph, i);
}

// 0, or the errno of what failed.
int write_to(int descriptor, Exporter& exporter) {
  google::protobuf::io::FileOutputStream stream(descriptor);
  CodedOutputStream out(&stream);
  write_model(out, exporter);
  out.Trim();
  if (!out.HadError() && stream.Flush()) return 0;
  return stream.GetErrno() != 0 ? stream.GetErrno() : EIO;
}

}  // namespace

void export_onnx(const Graph& inference_graph, const std::filesystem::path& file) {
  Exporter exporter(inference_graph);
  try {
    exporter.export_all();
  } catch (const InputError& error) {
    throw InputError(file.string() + ": " + error.what());
  }
  replace_file(file, [&](int descriptor) { return write_to(descriptor, exporter); });
}

}  // namespace tinytl

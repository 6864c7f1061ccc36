#include "engine/onnx/export.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "engine/graph/packed.h"
#include "engine/graph/replace_file.h"
#include "engine/onnx/exporter.h"
#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"

namespace tinytl {
namespace {

using google::protobuf::io::CodedOutputStream;
using internal::Exporter;
using internal::Initializer;

// Numbers of protobuf's wire format: ModelProto.graph, GraphProto.initializer,
// TensorProto.raw_data.
constexpr uint32_t kGraphTag = 7 << 3 | 2, kInitializerTag = 5 << 3 | 2, kRawDataTag = 9 << 3 | 2;

size_t length_delimited(size_t bytes) { return 1 + CodedOutputStream::VarintSize64(bytes) + bytes; }

onnx::TensorProto header_of(const Initializer& initializer, DType type) {
  onnx::TensorProto tensor;
  tensor.set_name(initializer.name);
  tensor.set_data_type(type == DType::kI32   ? onnx::TensorProto::INT32
                       : initializer.is_code ? onnx::TensorProto::INT8
                                             : onnx::TensorProto::FLOAT);
  for (const int64_t dim : initializer.shape) tensor.add_dims(dim);
  return tensor;
}

size_t data_bytes(const Graph& graph, const Initializer& initializer) {
  const TensorType& type = graph.value(initializer.value).type;
  const auto elements = static_cast<size_t>(type.elements());
  return initializer.is_code && type.dtype != DType::kI32 ? elements : elements * sizeof(float);
}

size_t tensor_bytes(const Graph& graph, const Initializer& initializer) {
  const DType type = graph.value(initializer.value).type.dtype;
  return header_of(initializer, type).ByteSizeLong() +
         length_delimited(data_bytes(graph, initializer));
}

// The numbers of an initializer where its tensor does not have them as f32.
std::vector<float> numbers_of(const Initializer& initializer, const Tensor& data) {
  std::vector<float> values(static_cast<size_t>(data.type().elements()));
  if (initializer.is_code) {
    const auto* const codes = reinterpret_cast<const int8_t*>(data.bytes().data());
    std::copy_n(codes, values.size(), values.begin());
  } else {
    unpack(data, values);
  }
  return values;
}

void write_numbers(CodedOutputStream& out, const Initializer& initializer, const Tensor& data) {
  if (data.type().dtype == DType::kI32) {  // a bias: nothing to move
    out.WriteRaw(data.bytes().data(), static_cast<int>(data.bytes().size()));
    return;
  }
  std::vector<float> unpacked;
  if (is_packed(data.type().dtype)) unpacked = numbers_of(initializer, data);
  std::span<const float> values = unpacked.empty() ? data.f32() : unpacked;
  std::vector<float> ordered;
  if (!internal::moves_only_ones(initializer.from, initializer.order)) {
    ordered.resize(values.size());
    internal::permute(values, initializer.from, initializer.order, ordered);
    values = ordered;
  }
  if (!initializer.is_code) {
    out.WriteRaw(values.data(), static_cast<int>(values.size_bytes()));
    return;
  }
  const std::vector<int8_t> codes(values.begin(), values.end());
  out.WriteRaw(codes.data(), static_cast<int>(codes.size()));
}

void write_initializer(CodedOutputStream& out, const Graph& graph, const Initializer& initializer) {
  out.WriteVarint32(kInitializerTag);
  out.WriteVarint64(tensor_bytes(graph, initializer));
  header_of(initializer, graph.value(initializer.value).type.dtype).SerializeToCodedStream(&out);
  out.WriteVarint32(kRawDataTag);
  out.WriteVarint64(data_bytes(graph, initializer));
  write_numbers(out, initializer, *graph.value(initializer.value).data);
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

// ONNX has no standardisation: the weights as the network uses them, under their own name.
Graph with_weights_standardized(const Graph& graph) {
  Graph result = graph;
  std::vector<NodeId> others;
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    const Node& node = graph.nodes()[n];
    if (node.op != &kStandardizeWeight || !is_persistent(graph.value(node.input(0)).role)) {
      others.push_back(NodeId(n));
      continue;
    }
    const Value& weight = graph.value(node.input(0));
    auto data = std::make_shared<Tensor>(weight.type);
    const Operand in{&weight.type, weight.data->bytes().data()};
    const Operand out{&weight.type, data->bytes().data()};
    node.op->forward(node, KernelArgs(&tt_portable_kernels, {&in, 1}, {&out, 1}, nullptr));
    Value& value = result.value(node.output());
    value.name = weight.name;
    value.role = weight.role;
    value.data = std::move(data);
  }
  result.keep_nodes(others);
  return prune(result);
}

}  // namespace

void export_onnx(const Graph& inference_graph, const std::filesystem::path& file) {
  const Graph graph = with_weights_standardized(inference_graph);
  Exporter exporter(graph);
  try {
    exporter.export_all();
  } catch (const InputError& error) {
    throw InputError(file.string() + ": " + error.what());
  }
  replace_file(file, [&](int descriptor) { return write_to(descriptor, exporter); });
}

}  // namespace tinytl

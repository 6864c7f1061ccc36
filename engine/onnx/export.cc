#include "engine/onnx/export.h"

#include <fcntl.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

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

// A file that is there only once it is whole.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path target)
      : target_(std::move(target)),
        name_(target_.string() + ".tmp." + std::to_string(getpid())),
        descriptor_(open(name_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
    if (descriptor_ < 0) fail("cannot create");
  }
  ~AtomicFile() {
    if (descriptor_ >= 0) close(descriptor_);
    if (!committed_) unlink(name_.c_str());
  }
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  int descriptor() const { return descriptor_; }

  void commit() {
    if (fsync(descriptor_) != 0) fail("cannot write");
    if (close(std::exchange(descriptor_, -1)) != 0) fail("cannot write");
    if (rename(name_.c_str(), target_.c_str()) != 0) fail("cannot write");
    committed_ = true;
  }

  [[noreturn]] void fail(const char* what) const {
    throw InputError(target_.string() + ": " + what + ": " + std::strerror(errno));
  }

 private:
  std::filesystem::path target_;
  std::string name_;
  int descriptor_;
  bool committed_ = false;
};

}  // namespace

void export_onnx(const Graph& inference_graph, const std::filesystem::path& file) {
  Exporter exporter(inference_graph);
  try {
    exporter.export_all();
  } catch (const InputError& error) {
    throw InputError(file.string() + ": " + error.what());
  }
  AtomicFile target(file);
  {
    google::protobuf::io::FileOutputStream stream(target.descriptor());
    CodedOutputStream out(&stream);
    write_model(out, exporter);
    out.Trim();
    if (out.HadError() || !stream.Flush()) {
      errno = stream.GetErrno();
      target.fail("cannot write");
    }
  }
  target.commit();
}

}  // namespace tinytl

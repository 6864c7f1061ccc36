#include "engine/onnx/read.h"

#include <google/protobuf/io/zero_copy_stream_impl.h>
#include <onnx/checker.h>
#include <onnx/defs/schema.h>

#include <algorithm>
#include <fstream>

#include "engine/graph/error.h"
#include "engine/onnx/slim.h"

namespace tinytl::internal {
namespace {

constexpr int64_t kFirstOpset = 6, kLastOpset = 21;
constexpr int64_t kFirstIr = 3, kLastIr = 13;
constexpr int64_t kCheckerOpset = 17, kCheckerIr = 8;  // the newest that libonnx 1.12 knows

onnx::ModelProto parse(const std::filesystem::path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  const std::string name = file.string();
  if (error) throw InputError(name + ": cannot open: " + error.message());
  if (size == 0) throw InputError(name + ": the file is empty: export the model again");
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw InputError(name + ": cannot open: no permission to read it");
  onnx::ModelProto model;
  google::protobuf::io::IstreamInputStream input(&stream);
  if (!parse_slim(input, model)) {
    throw InputError(name + ": not an ONNX file, or cut short (" + std::to_string(size) +
                     " bytes): export or download it again");
  }
  return model;
}

int64_t supported_opset(const onnx::ModelProto& model) {
  if (!model.has_graph() || model.ir_version() == 0) {
    throw InputError("not an ONNX model: it has no network");
  }
  if (model.ir_version() < kFirstIr || model.ir_version() > kLastIr) {
    throw InputError("ONNX IR version " + std::to_string(model.ir_version()) +
                     " is not supported: export it with IR version " + std::to_string(kFirstIr) +
                     " to " + std::to_string(kLastIr));
  }
  for (const auto& set : model.opset_import()) {
    if (!set.domain().empty() && set.domain() != "ai.onnx") continue;
    if (set.version() >= kFirstOpset && set.version() <= kLastOpset) return set.version();
    throw InputError("ONNX opset " + std::to_string(set.version()) +
                     " is not supported: export the model with an opset from " +
                     std::to_string(kFirstOpset) + " to " + std::to_string(kLastOpset));
  }
  throw InputError("the model names no ONNX opset");
}

// Initializers and Constant nodes give up their numbers.
void take_constants(onnx::ModelProto& model, const ModelFiles& files,
                    std::map<std::string, LiteralPtr>& constants) {
  onnx::GraphProto& graph = *model.mutable_graph();
  if (graph.sparse_initializer_size() > 0)
    throw InputError("sparse initializers are not supported");
  const auto keep = [&](const std::string& name, onnx::TensorProto& tensor) {
    if (!constants.emplace(name, take_literal(tensor, files)).second) {
      throw InputError("tensor \"" + name + "\" is defined twice");
    }
  };
  for (auto& tensor : *graph.mutable_initializer()) keep(tensor.name(), tensor);
  for (auto& node : *graph.mutable_node()) {
    if (node.op_type() != "Constant" || node.output_size() != 1) continue;
    for (auto& attribute : *node.mutable_attribute()) {
      if (attribute.name() == "value" && attribute.type() == onnx::AttributeProto::TENSOR) {
        keep(node.output(0), *attribute.mutable_t());
      }
    }
  }
}

// The model as a list of definitions in order of use: what the importer itself relies on.
void check_order(const onnx::GraphProto& graph) {
  std::map<std::string, bool> defined;
  for (const auto& input : graph.input()) defined[input.name()] = true;
  for (const auto& tensor : graph.initializer()) defined[tensor.name()] = true;
  for (const auto& node : graph.node()) {
    for (const auto& input : node.input()) {
      if (input.empty() || defined.contains(input)) continue;
      throw InputError("node \"" + node.name() + "\" (" + node.op_type() + ") reads \"" + input +
                       "\", which nothing before it writes");
    }
    for (const auto& output : node.output()) {
      if (!output.empty() && !defined.emplace(output, true).second) {
        throw InputError("tensor \"" + output + "\" is written twice");
      }
    }
  }
  if (graph.output_size() == 0) {
    throw InputError("the network has no output: export it with the tensor it computes as one");
  }
  for (const auto& output : graph.output()) {
    if (!defined.contains(output.name())) {
      throw InputError("nothing writes the network's output \"" + output.name() + "\"");
    }
  }
}

bool knows_every_operator(const onnx::ModelProto& model, int64_t opset) {
  for (const auto& node : model.graph().node()) {
    const std::string domain = node.domain() == "ai.onnx" ? "" : node.domain();
    const auto* schema =
        onnx::OpSchemaRegistry::Schema(node.op_type(), static_cast<int>(opset), domain);
    if (schema == nullptr) return false;
  }
  return true;
}

}  // namespace

OnnxFile open_onnx(onnx::ModelProto model, std::string name, const ModelFiles& files) {
  OnnxFile file;
  file.name = std::move(name);
  file.model = std::move(model);
  try {
    file.opset = supported_opset(file.model);
    take_constants(file.model, files, file.constants);
    check_order(file.model.graph());
  } catch (const InputError& error) {
    throw InputError(file.name + ": " + error.what());
  }
  return file;
}

OnnxFile read_onnx(const std::filesystem::path& file) {
  return open_onnx(parse(file), file.string(), {file.parent_path(), file});
}

void run_checker(OnnxFile& file) {
  if (file.opset > kCheckerOpset || !knows_every_operator(file.model, file.opset)) return;
  const int64_t ir = file.model.ir_version();
  file.model.set_ir_version(std::min(ir, kCheckerIr));
  try {
    onnx::checker::check_model(file.model);
  } catch (const std::exception& error) {
    std::string text = error.what();
    std::replace(text.begin(), text.end(), '\n', ' ');
    throw InputError(file.name + ": the ONNX checker rejects the model: " + text);
  }
  file.model.set_ir_version(ir);
}

}  // namespace tinytl::internal

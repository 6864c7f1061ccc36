#include "engine/onnx/import.h"

#include "engine/onnx/translate.h"
#include "engine/ops/passes.h"

namespace tinytl {
namespace {

Graph import_network(const std::filesystem::path& file, const ImportOptions& options) {
  internal::OnnxFile onnx_file = internal::read_onnx(file);
  if (options.run_onnx_checker) internal::run_checker(onnx_file);
  internal::Translation translation = internal::translate(std::move(onnx_file), options);
  if (!translation.constant_outputs.empty()) {
    throw InputError(file.string() + ": output \"" + translation.constant_outputs.begin()->first +
                     "\" does not depend on the network's input: remove it from the model");
  }
  verify(translation.graph);
  return std::move(translation.graph);
}

}  // namespace

Graph import_onnx(const std::filesystem::path& file, const ImportOptions& options) {
  try {
    return import_network(file, options);
  } catch (const InputError&) {
    // Where the model breaks ONNX's own rules, their checker says so better than we can.
    internal::OnnxFile again = internal::read_onnx(file);
    internal::run_checker(again);
    throw;
  }
}

}  // namespace tinytl

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

// What libonnx's checker says of the file; empty where it finds nothing wrong.
std::string checker_verdict(const std::filesystem::path& file) {
  try {
    internal::OnnxFile again = internal::read_onnx(file);
    internal::run_checker(again);
    return "";
  } catch (const InputError& error) {
    return error.what();
  }
}

}  // namespace

std::optional<Norms> parse_norms(std::string_view name) {
  if (name == "folded") return Norms::kFolded;
  if (name == "group") return Norms::kGroup;
  if (name == "batch") return Norms::kBatch;
  return std::nullopt;
}

Graph import_onnx(const std::filesystem::path& file, const ImportOptions& options) {
  try {
    return import_network(file, options);
  } catch (const InputError& error) {
    // Where the model breaks ONNX's own rules, that may be the reason.
    const std::string verdict = checker_verdict(file);
    if (verdict.empty() || verdict == error.what()) throw;
    throw InputError(std::string(error.what()) + " (" + verdict + ")");
  }
}

}  // namespace tinytl

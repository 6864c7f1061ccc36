#include "tinytl/cli/load_network.h"

#include <filesystem>

#include "engine/onnx/import.h"

namespace tinytl::cli {

std::string network_name(const MethodArguments& args) {
  if (!args.network.empty()) return args.network;
  return std::filesystem::path(args.model).filename().string();
}

Graph load_network(const MethodArguments& args, int64_t classes, int64_t batch,
                   const KnownParameters& known) {
  const PackedParameters packed{known.packed, dtype_of(frozen_weights_of(args))};
  if (args.network.empty()) {
    return import_onnx(args.model, {.batch = batch,
                                    .resolution = args.resolution,
                                    .norms = norms_of(args),
                                    .precision = precision_of(args.precision),
                                    .fixed_point = args.requantize == "fixed",
                                    .without_values = known.replaced,
                                    .packed = packed});
  }
  NetworkOptions options = reference_options(args, classes);
  options.batch = batch;
  options.packed = packed;
  return reference_network(args.network, options);
}

NetworkOptions reference_options(const MethodArguments& args, int64_t classes) {
  NetworkOptions options{.seed = args.seed};
  const bool folded = norms_of(args) == Norms::kFolded;
  options.norm = folded ? NetworkNorm::kFolded : NetworkNorm::kGroup;
  if (args.resolution > 0) options.resolution = args.resolution;
  if (classes > 0) options.classes = classes;
  return options;
}

std::vector<int64_t> sample_shape(const MethodArguments& args) {
  NetworkOptions options = reference_options(args, /*classes=*/0);
  options.values = false;
  const Graph network = args.network.empty() ? load_network(args, /*classes=*/0, /*batch=*/1)
                                             : reference_network(args.network, options);
  const Shape& input = network.value(network.inputs.at(0)).type.shape;
  return {input.begin() + 1, input.end()};
}

}  // namespace tinytl::cli

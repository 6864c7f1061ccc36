#include "tinytl/cli/adapted.h"

#include "engine/onnx/import.h"
#include "engine/ops/passes.h"

namespace tinytl::cli {

void add_adapted_options(CLI::App& app, AdaptedArguments& args) {
  app.add_option("--model", args.model, "The network, an .onnx file")->required();
  app.add_option("--learnt", args.learnt,
                 "What tinytl-train saved; without it, the network as it is in the file");
  add_precision_option(app, args.precision)->excludes(app.get_option("--learnt"));
  add_threads_option(app, args.threads);
  add_xnnpack_option(app, args.xnnpack);
}

void exclude_views_with_learnt(CLI::App& app) {
  for (const char* option : {"--mean", "--std", "--squash", "--center-fraction"}) {
    app.get_option(option)->excludes(app.get_option("--learnt"));
  }
}

LoaderOptions Adapted::loader() const {
  LoaderOptions options = loader_for(inference.input_type(), /*training=*/false);
  options.augment.squash = info.squash;
  options.augment.center_fraction = info.center_fraction;
  return options;
}

namespace {

Inference inference_of(Graph network, int threads, bool xnnpack) {
  constexpr Loss::Kind kLoss = Loss::Kind::kSoftmaxCrossEntropy;
  decode_tables(network);
  XnnpackLayers layers;
  Inference inference(
      inference_program(std::move(network), kLoss, *tt_best_kernels(), {.threads = threads}), kLoss,
      /*arena=*/nullptr, xnnpack ? &layers : nullptr, std::make_shared<ThreadPool>(threads));
  layers.choose();
  return inference;
}

}  // namespace

Adapted load_adapted(const AdaptedArguments& args, const ImageArguments& image) {
  LearntInfo learnt;
  learnt.precision = args.precision;
  if (!args.learnt.empty()) learnt = read_learnt_info(args.learnt);
  Graph network = import_onnx(args.model, {.batch = args.batch_size,
                                           .resolution = learnt.resolution,
                                           .norms = parse_norms(learnt.norm).value(),
                                           .precision = precision_of(learnt.precision),
                                           .fixed_point = learnt.requantize == "fixed"});
  const bool xnnpack = args.xnnpack == "auto";
  if (!args.learnt.empty()) {
    AdaptedNetwork adapted = adapt(std::move(network), args.learnt);
    if (adapted.info.classes.empty()) {
      throw InputError(args.learnt + ": was learnt without classes; there is nothing to classify");
    }
    return {std::move(adapted.info), inference_of(adapted.network.graph, args.threads, xnnpack)};
  }
  LearntInfo info;
  info.normalisation = normalisation_of(image);
  info.squash = image.squash;
  info.center_fraction = image.center_fraction;
  return {std::move(info), inference_of(flatten_scores(network), args.threads, xnnpack)};
}

}  // namespace tinytl::cli

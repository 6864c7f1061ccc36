// tinytl-eval: how well a network, adapted or not, does on a data set.

#include <fmt/core.h>

#include "tinytl/cli/adapted.h"
#include "tinytl/cli/console.h"
#include "tinytl/cli/report.h"

namespace tinytl::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  tinytl-eval --model mobilenet_v2.onnx --learnt learnt.safetensors --data photos
  tinytl-eval --model mobilenet_v2.onnx --data imagenet_sample --split train)";

struct Arguments {
  AdaptedArguments adapted;
  DataArguments data;
  ImageArguments image;
  std::string split = "val", report;
};

int evaluate(const Arguments& args) {
  if (args.data.data.empty()) throw CLI::ValidationError("--data is required");
  const DatasetSplits splits = open_dataset(args.data.data, dataset_of(args.data));
  const Dataset* data = args.split == "train" ? splits.train.get() : splits.val.get();
  if (data == nullptr || data->size() == 0) {
    throw InputError(args.data.data + ": has no " + args.split + " samples; see --split");
  }
  if (data->classes().empty()) {
    throw InputError(args.data.data + ": has no labels, so there is nothing to measure against");
  }
  Adapted network = load_adapted(args.adapted, args.image);
  if (!network.info.classes.empty() && network.info.classes != data->classes()) {
    throw InputError(args.data.data + ": its classes are not those " + args.adapted.learnt +
                     " was trained on (" + std::to_string(data->classes().size()) + " against " +
                     std::to_string(network.info.classes.size()) + ", or other names)");
  }
  const auto classes = static_cast<int64_t>(data->classes().size());
  if (classes > network.inference.classes()) {
    throw InputError(args.data.data + ": has " + std::to_string(classes) +
                     " classes, the network " + std::to_string(network.inference.classes()));
  }
  LoaderOptions options = network.loader();
  if (args.data.strict) options.on_damage = OnDamage::kThrow;
  Loader loader(*data, options);
  const Evaluation result = network.inference.evaluate(loader, network.info.normalisation);

  std::vector<std::vector<std::string>> rows{{"class", "images", "top-1"}};
  Json per_class = Json::array();
  for (size_t c = 0; c < data->classes().size(); ++c) {
    const double fraction = result.class_count[c] == 0
                                ? 0
                                : double(result.class_top1[c]) / double(result.class_count[c]);
    rows.push_back({data->classes()[c], count_text(result.class_count[c]), percent_text(fraction)});
    per_class.push_back(
        {{"name", data->classes()[c]}, {"count", result.class_count[c]}, {"top1", fraction}});
  }
  print_table(rows);
  fmt::print("\n  {} images: top-1 {}, top-5 {}, loss {:.4f}\n", count_text(result.count),
             percent_text(result.top1_fraction()), percent_text(result.top5_fraction()),
             result.loss());
  for (const std::string& message : loader.damaged()) fmt::print("  left out: {}\n", message);
  if (!args.report.empty()) {
    write_report(args.report, {{"model", args.adapted.model},
                               {"count", result.count},
                               {"top1", result.top1_fraction()},
                               {"top5", result.top5_fraction()},
                               {"loss", result.loss()},
                               {"classes", per_class},
                               {"damaged_images", loader.damaged()}});
  }
  return kDone;
}

}  // namespace
}  // namespace tinytl::cli

int main(int argc, char** argv) {
  using namespace tinytl::cli;
  Arguments args;
  CLI::App app("Measures a network on a data set: top-1, top-5, and every class.", "tinytl-eval");
  app.footer(kExamples);
  add_adapted_options(app, args.adapted);
  add_data_options(app, args.data);
  add_image_options(app, args.image);
  app.add_option("--split", args.split, "val or train")
      ->check(CLI::IsMember({"val", "train"}))
      ->capture_default_str();
  app.add_option("--report", args.report, "Write the figures as JSON, as fractions");
  return run_command(app, argc, argv, [&] { return evaluate(args); });
}

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

// The non-empty parts of the data set that --split asks for.
std::vector<const Dataset*> parts_of(const DatasetSplits& splits, const std::string& split) {
  std::vector<const Dataset*> parts;
  if (split != "val") parts.push_back(splits.train.get());
  if (split != "train") parts.push_back(splits.val.get());
  std::erase_if(parts, [](const Dataset* d) { return d == nullptr || d->size() == 0; });
  return parts;
}

void add(Evaluation& sum, const Evaluation& part) {
  sum.count += part.count;
  sum.top1 += part.top1;
  sum.top5 += part.top5;
  sum.loss_sum += part.loss_sum;
  sum.class_count.resize(part.class_count.size());
  sum.class_top1.resize(part.class_top1.size());
  for (size_t c = 0; c < part.class_count.size(); ++c) {
    sum.class_count[c] += part.class_count[c];
    sum.class_top1[c] += part.class_top1[c];
  }
}

int evaluate(const Arguments& args) {
  if (args.data.data.empty()) throw CLI::ValidationError("--data is required");
  const DatasetSplits splits = open_dataset(args.data.data, dataset_of(args.data));
  const std::vector<const Dataset*> parts = parts_of(splits, args.split);
  if (parts.empty()) {
    throw InputError(args.data.data + ": has no " + args.split + " samples; see --split");
  }
  const Dataset* data = parts[0];
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
  Evaluation result;
  std::vector<std::string> damaged;
  for (const Dataset* part : parts) {
    Loader loader(*part, options);
    add(result, network.inference.evaluate(loader, network.info.normalisation));
    std::ranges::move(loader.damaged(), std::back_inserter(damaged));
  }

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
  fmt::print("\n  {}, {} images: top-1 {}, top-5 {}, loss {:.4f}\n", args.split,
             count_text(result.count), percent_text(result.top1_fraction()),
             percent_text(result.top5_fraction()), result.loss());
  for (const std::string& message : damaged) fmt::print("  left out: {}\n", message);
  if (!args.report.empty()) {
    write_report(args.report, {{"model", args.adapted.model},
                               {"count", result.count},
                               {"top1", result.top1_fraction()},
                               {"top5", result.top5_fraction()},
                               {"loss", result.loss()},
                               {"classes", per_class},
                               {"damaged_images", damaged}});
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
  app.add_option("--batch-size", args.adapted.batch_size, "Images at once")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  add_view_options(app, args.image);
  exclude_views_with_learnt(app);
  app.add_option("--split", args.split, "val, train, or all")
      ->check(CLI::IsMember({"val", "train", "all"}))
      ->capture_default_str();
  app.add_option("--report", args.report, "Write the figures as JSON, as fractions");
  return run_command(app, argc, argv, [&] { return evaluate(args); });
}

// tinytl-predict: the classes of images.

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tinytl/cli/adapted.h"
#include "tinytl/cli/console.h"

namespace tinytl::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  tinytl-predict --model mobilenet_v2.onnx --learnt learnt.safetensors photo.jpg other.png)";

struct Arguments {
  AdaptedArguments adapted;
  ImageArguments image;
  std::vector<std::string> images;
  int top = 3;
};

std::vector<double> softmax(std::span<const float> scores) {
  const double top = *std::ranges::max_element(scores);
  std::vector<double> result(scores.size());
  std::ranges::transform(scores, result.begin(), [&](float s) { return std::exp(s - top); });
  const double sum = std::accumulate(result.begin(), result.end(), 0.0);
  for (double& p : result) p /= sum;
  return result;
}

void print_classes(const std::string& image, const std::vector<double>& probabilities,
                   const std::vector<std::string>& classes, int top) {
  std::vector<size_t> order(probabilities.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto count = std::min(order.size(), static_cast<size_t>(top));
  std::ranges::partial_sort(
      order, order.begin() + static_cast<ptrdiff_t>(count),
      [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
  std::string line;
  for (size_t i = 0; i < count; ++i) {
    const size_t c = order[i];
    const std::string name = classes.empty() ? "class " + std::to_string(c) : classes[c];
    line += fmt::format("   {} {}", name, percent_text(probabilities[c]));
  }
  fmt::print("{}{}\n", image, line);
}

int predict(const Arguments& args) {
  AdaptedArguments one_at_a_time = args.adapted;
  one_at_a_time.batch_size = 1;
  Adapted network = load_adapted(one_at_a_time, args.image);
  const LoaderOptions options = network.loader();
  const int channels = options.size.channels;
  if (network.inference.input_type().rank() != 4 || (channels != 1 && channels != 3)) {
    throw InputError(args.adapted.model + ": takes " + to_string(network.inference.input_type()) +
                     ", not images of 1 or 3 channels; give the network of a camera");
  }
  int damaged = 0;
  Batch batch;
  batch.count = 1;
  batch.size = options.size;
  batch.pixels.resize(static_cast<size_t>(options.size.height) *
                      static_cast<size_t>(options.size.width) *
                      static_cast<size_t>(options.size.channels));
  for (const std::string& path : args.images) {
    try {
      const Image image =
          decode_image(path, options.size.channels, decode_side(options.augment, options.size));
      augment(image, options.augment, options.size, Random(0, 0, 0), batch.pixels.data());
    } catch (const ImageError& error) {
      fmt::print(stderr, "tinytl-predict: {}\n", error.what());
      ++damaged;
      continue;
    }
    print_classes(path, softmax(network.inference.predict(batch, network.info.normalisation)),
                  network.info.classes, args.top);
  }
  return damaged > 0 ? kBadInput : kDone;
}

}  // namespace
}  // namespace tinytl::cli

int main(int argc, char** argv) {
  using namespace tinytl::cli;
  Arguments args;
  CLI::App app("Names the classes of images, with probabilities.", "tinytl-predict");
  app.footer(kExamples);
  add_adapted_options(app, args.adapted);
  add_view_options(app, args.image);
  exclude_views_with_learnt(app);
  app.add_option("images", args.images, "JPEG or PNG files")->required();
  app.add_option("--top", args.top, "Classes to name for each image")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  return run_command(app, argc, argv, [&] { return predict(args); });
}

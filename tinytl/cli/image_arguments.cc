#include <cmath>

#include "tinytl/cli/arguments.h"
#include "tinytl/cli/option_checks.h"

namespace tinytl::cli {
namespace {

std::array<float, 3> three(const std::vector<float>& values, const char* flag) {
  if (values.size() == 1) return {values[0], values[0], values[0]};
  if (values.size() == 3) return {values[0], values[1], values[2]};
  usage_error(std::string(flag) + " takes one number, or three (red, green, blue)");
}

}  // namespace

void add_data_options(CLI::App& app, DataArguments& args) {
  app.add_option("--data", args.data,
                 "Folder: train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg, or IDX files");
  app.add_option("--only", args.only, "Only these classes, by name, comma-separated")
      ->delimiter(',');
  app.add_option("--max-per-class", args.max_per_class, "At most so many training images a class")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--hold-out", args.hold_out,
                 "Validate on this fraction of the training set, not on val: to compare settings "
                 "without looking at val")
      ->check(between(0.01, 0.9));
  app.add_flag("--strict", args.strict, "Stop at a damaged image instead of leaving it out");
}

void add_view_options(CLI::App& app, ImageArguments& args) {
  app.add_option("--mean", args.mean, "Subtracted from pixels: one number or three (127.5)")
      ->delimiter(',');
  app.add_option("--std", args.deviation, "Divides pixels: one number or three (127.5)")
      ->delimiter(',');
  app.add_flag("--squash", args.squash, "Squash images to the network's shape instead of cropping");
  app.add_option("--center-fraction", args.center_fraction, "Part of the image evaluation looks at")
      ->check(between(0.1, 1.0))
      ->capture_default_str();
}

void add_augmentation_options(CLI::App& app, ImageArguments& args) {
  app.add_option("--crop-area", args.crop_area_min,
                 "Smallest part of an image training looks at (0.35; 0.8 where images come in the "
                 "network's own size)")
      ->check(between(0.01, 1.0));
  app.add_option("--flip", args.flip, "Probability of a mirrored training image")
      ->check(between(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--jitter", args.jitter, "Random brightness, contrast, saturation: up to +-this")
      ->check(between(0.0, 1.0));
  app.add_flag("--no-augment", args.no_augment, "Train on images as evaluation sees them");
}

DatasetOptions dataset_of(const DataArguments& args) {
  return {.keep_classes = args.only, .max_per_class = args.max_per_class, .val_fraction = 0.2};
}

Normalisation normalisation_of(const ImageArguments& args) {
  const Normalisation result{three(args.mean, "--mean"), three(args.deviation, "--std")};
  for (const float d : result.deviation) {
    if (!(d > 0) || !std::isfinite(d)) usage_error("--std must be above 0");
  }
  for (const float m : result.mean) {
    if (!std::isfinite(m)) usage_error("--mean must be a number");
  }
  return result;
}

AugmentOptions augmentation_of(const ImageArguments& args, bool native_size) {
  AugmentOptions options =
      args.no_augment ? AugmentOptions::evaluation() : AugmentOptions::training();
  options.squash = args.squash;
  options.center_fraction = args.center_fraction;
  options.area_min = args.crop_area_min > 0 ? args.crop_area_min : native_size ? 0.8 : 0.35;
  if (!args.no_augment) {
    options.flip_probability = args.flip;
    options.brightness = options.contrast = options.saturation = args.jitter;
  }
  return options;
}

}  // namespace tinytl::cli

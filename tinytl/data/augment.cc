#include "tinytl/data/augment.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "tinytl/data/codec.h"

namespace tinytl {
namespace {

Box centered(int image_width, int image_height, double width, double height) {
  const int w = std::clamp(static_cast<int>(std::lround(width)), 1, image_width);
  const int h = std::clamp(static_cast<int>(std::lround(height)), 1, image_height);
  return {(image_width - w) / 2, (image_height - h) / 2, w, h};
}

uint8_t to_pixel(double value) { return static_cast<uint8_t>(std::clamp(value + 0.5, 0.0, 255.0)); }

double draw_factor(double range, Random& random) {
  return range > 0 ? random.uniform(std::max(0.0, 1 - range), 1 + range) : 1;
}

// pixel := factor * pixel + (1 - factor) * other
void blend(std::span<uint8_t> pixels, double factor, double other) {
  uint8_t table[256];
  for (int p = 0; p < 256; ++p) table[p] = to_pixel(factor * p + (1 - factor) * other);
  for (uint8_t& p : pixels) p = table[p];
}

double mean_luma(std::span<const uint8_t> pixels, int channels) {
  uint64_t sum = 0;
  for (size_t i = 0; i < pixels.size(); i += channels) {
    sum += channels == 1 ? pixels[i] : luma(pixels[i], pixels[i + 1], pixels[i + 2]);
  }
  return static_cast<double>(sum) / static_cast<double>(pixels.size() / channels);
}

void saturate(std::span<uint8_t> pixels, double factor) {
  for (size_t i = 0; i < pixels.size(); i += 3) {
    const double gray = (1 - factor) * luma(pixels[i], pixels[i + 1], pixels[i + 2]);
    for (size_t c = 0; c < 3; ++c) pixels[i + c] = to_pixel(factor * pixels[i + c] + gray);
  }
}

void jitter_colour(const AugmentOptions& options, int channels, Random& random,
                   std::span<uint8_t> pixels) {
  const double brightness = draw_factor(options.brightness, random);
  const double contrast = draw_factor(options.contrast, random);
  const double saturation = draw_factor(options.saturation, random);
  if (brightness != 1) blend(pixels, brightness, 0);
  if (contrast != 1) blend(pixels, contrast, mean_luma(pixels, channels));
  if (saturation != 1 && channels == 3) saturate(pixels, saturation);
}

void require(bool holds, const char* option, const char* range) {
  if (!holds) {
    throw InputError(std::string("augmentation: ") + option + " must be " + range);
  }
}

}  // namespace

void check_options(const AugmentOptions& o) {
  require(0 < o.area_min && o.area_min <= o.area_max && o.area_max <= 1, "the crop area",
          "a range inside (0, 1]");
  require(0 < o.ratio_min && o.ratio_min <= o.ratio_max, "the crop ratio",
          "a range of positive numbers");
  require(0 < o.center_fraction && o.center_fraction <= 1, "the centre fraction", "in (0, 1]");
  require(0 <= o.flip_probability && o.flip_probability <= 1, "the flip probability", "in [0, 1]");
  require(0 <= o.brightness && 0 <= o.contrast && 0 <= o.saturation, "the colour jitter",
          "0 or more");
}

int decode_side(const AugmentOptions& options, const InputSize& size) {
  const int longer = std::max(size.height, size.width);
  const bool whole = options.random_crop || options.squash;
  return whole ? longer : static_cast<int>(std::ceil(longer / options.center_fraction));
}

Box random_crop(const AugmentOptions& options, int image_width, int image_height, Random& random) {
  // A squashed image is square as far as the choice is concerned.
  const double w = options.squash ? 1 : image_width, h = options.squash ? 1 : image_height;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = w * h * random.uniform(options.area_min, options.area_max);
    const double ratio =
        std::exp(random.uniform(std::log(options.ratio_min), std::log(options.ratio_max)));
    const int width = static_cast<int>(std::lround(std::sqrt(area * ratio) / w * image_width));
    const int height = static_cast<int>(std::lround(std::sqrt(area / ratio) / h * image_height));
    if (width < 1 || height < 1 || width > image_width || height > image_height) continue;
    const int x = random.below(image_width - width + 1);
    const int y = random.below(image_height - height + 1);
    return {x, y, width, height};
  }
  // No luck with a very long image: the largest centred part whose ratio is allowed.
  const double ratio = std::clamp(w / h, options.ratio_min, options.ratio_max);
  const double width = std::min(w, h * ratio), height = std::min(h, w / ratio);
  return centered(image_width, image_height, width / w * image_width, height / h * image_height);
}

Box center_crop(const AugmentOptions& options, int image_width, int image_height,
                const InputSize& size) {
  if (options.squash) return {0, 0, image_width, image_height};
  const double shape = static_cast<double>(size.width) / size.height;
  const double width = std::min<double>(image_width, image_height * shape);
  return centered(image_width, image_height, options.center_fraction * width,
                  options.center_fraction * width / shape);
}

void augment(const Image& image, const AugmentOptions& options, const InputSize& size,
             Random random, uint8_t* out) {
  const Box box = options.random_crop ? random_crop(options, image.width, image.height, random)
                                      : center_crop(options, image.width, image.height, size);
  const bool mirror = random.uniform() < options.flip_probability;
  resize_bilinear(image, box, mirror, size.height, size.width, out);
  const size_t bytes = static_cast<size_t>(size.height) * size.width * image.channels;
  jitter_colour(options, image.channels, random, {out, bytes});
}

}  // namespace tinytl

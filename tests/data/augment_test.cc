// Resampling against an independent reference in double, and the distribution of random crops.

#include "tinytl/data/augment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/data/support.h"

namespace tinytl {
namespace {

using testing::HasSubstr;

Image noise(int width, int height, int channels) {
  std::mt19937 rng(static_cast<unsigned>(width * 1000 + height));
  Image image{width, height, channels, Bytes(static_cast<size_t>(width) * height * channels)};
  for (uint8_t& p : image.pixels) p = static_cast<uint8_t>(rng());
  return image;
}

// Straight from the definition: interpolation between pixel centres, constant beyond the box.
double exact(const Image& in, const Box& box, int height, int width, int y, int x, int c) {
  const double sy = std::clamp((y + 0.5) * box.height / height - 0.5, 0., box.height - 1.);
  const double sx = std::clamp((x + 0.5) * box.width / width - 0.5, 0., box.width - 1.);
  double sum = 0;
  for (int j = 0; j < box.height; ++j) {
    for (int i = 0; i < box.width; ++i) {
      const double weight = std::max(0., 1 - std::abs(sy - j)) * std::max(0., 1 - std::abs(sx - i));
      if (weight == 0) continue;
      sum += weight * in.pixels[((box.y + j) * in.width + box.x + i) * in.channels + c];
    }
  }
  return sum;
}

struct ResizeCase {
  Box box;
  int height, width;
};

class Resize : public testing::TestWithParam<ResizeCase> {};

TEST_P(Resize, MatchesTheReference) {
  const auto& [box, height, width] = GetParam();
  for (const int channels : {1, 3}) {
    for (const bool mirror : {false, true}) {
      const Image in = noise(23, 19, channels);
      Bytes out(static_cast<size_t>(height) * width * channels);
      resize_bilinear(in, box, mirror, height, width, out.data());
      const uint8_t* p = out.data();
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          const int from_x = mirror ? width - 1 - x : x;
          for (int c = 0; c < channels; ++c) {
            ASSERT_NEAR(*p++, exact(in, box, height, width, y, from_x, c), 0.75);
          }
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sizes, Resize,
    testing::Values(ResizeCase{{0, 0, 23, 19}, 19, 23}, ResizeCase{{0, 0, 23, 19}, 8, 10},
                    ResizeCase{{0, 0, 23, 19}, 64, 50}, ResizeCase{{5, 3, 7, 11}, 16, 16},
                    ResizeCase{{22, 18, 1, 1}, 4, 4}, ResizeCase{{3, 2, 20, 17}, 1, 1},
                    ResizeCase{{0, 0, 23, 1}, 5, 9}));

TEST(Resize, OfTheSameSizeIsACopy) {
  const Image in = noise(16, 12, 3);
  Bytes out(in.pixels.size());
  resize_bilinear(in, {0, 0, 16, 12}, false, 12, 16, out.data());
  EXPECT_EQ(out, in.pixels);
}

TEST(RandomCrop, StaysInsideAndKeepsItsRanges) {
  const AugmentOptions options = AugmentOptions::training();
  double smallest = 1, largest = 0, log_ratio = 0;
  constexpr int kDraws = 5000;
  for (int i = 0; i < kDraws; ++i) {
    Random random(1, 2, static_cast<uint64_t>(i));
    const Box box = random_crop(options, 400, 400, random);
    ASSERT_GE(box.x, 0);
    ASSERT_GE(box.y, 0);
    ASSERT_LE(box.x + box.width, 400);
    ASSERT_LE(box.y + box.height, 400);
    const double area = box.width * box.height / 160000., ratio = 1. * box.width / box.height;
    ASSERT_GT(ratio, 0.74);
    ASSERT_LT(ratio, 1.35);
    smallest = std::min(smallest, area);
    largest = std::max(largest, area);
    log_ratio += std::log(ratio);
  }
  EXPECT_NEAR(smallest, 0.35, 0.01);
  EXPECT_NEAR(largest, 1, 0.02);
  EXPECT_NEAR(log_ratio / kDraws, 0, 0.02);
}

TEST(RandomCrop, FallsBackToTheCentreOfALongImage) {
  AugmentOptions options = AugmentOptions::training();
  options.area_min = 0.9;
  Random random(1, 1, 1);
  const Box box = random_crop(options, 1000, 100, random);
  EXPECT_EQ(box.width, 133);
  EXPECT_EQ(box.height, 100);
  EXPECT_EQ(box.x, 433);
}

TEST(RandomCrop, OfASquashedImageKeepsTheShapeOfTheImage) {
  AugmentOptions options = AugmentOptions::training();
  options.squash = true;
  for (uint64_t i = 0; i < 200; ++i) {
    Random random(1, 1, i);
    const Box box = random_crop(options, 400, 200, random);
    const double ratio = box.width / 400. / (box.height / 200.);
    EXPECT_GT(ratio, 0.73);
    EXPECT_LT(ratio, 1.36);
  }
}

TEST(CenterCrop, TakesTheFractionOfTheShortSide) {
  AugmentOptions options = AugmentOptions::evaluation();
  options.center_fraction = 128. / 147;
  const Box box = center_crop(options, 200, 147, {128, 128, 3});
  EXPECT_EQ(box.width, 128);
  EXPECT_EQ(box.height, 128);
  EXPECT_EQ(box.x, 36);
  EXPECT_EQ(box.y, 9);
  options.squash = true;
  EXPECT_EQ(center_crop(options, 200, 147, {128, 128, 3}).width, 200);
}

TEST(CenterCrop, HasTheShapeOfTheInput) {
  AugmentOptions options = AugmentOptions::evaluation();
  options.center_fraction = 1;
  const Box box = center_crop(options, 300, 300, {60, 120, 3});
  EXPECT_EQ(box.width, 300);
  EXPECT_EQ(box.height, 150);
}

TEST(DecodeSide, LeavesRoomForTheCentreCrop) {
  EXPECT_EQ(decode_side(AugmentOptions::training(), {128, 128, 3}), 128);
  EXPECT_EQ(decode_side(AugmentOptions::evaluation(), {128, 128, 3}), 147);
}

TEST(Augment, DependsOnSeedEpochAndSampleOnly) {
  const Image image = noise(60, 50, 3);
  AugmentOptions options = AugmentOptions::training();
  options.brightness = options.contrast = options.saturation = 0.4;
  const auto pixels = [&](uint64_t seed, uint64_t epoch, uint64_t sample) {
    Bytes out(32 * 32 * 3);
    augment(image, options, {32, 32, 3}, Random(seed, epoch, sample), out.data());
    return out;
  };
  EXPECT_EQ(pixels(1, 2, 3), pixels(1, 2, 3));
  EXPECT_NE(pixels(1, 2, 3), pixels(2, 2, 3));
  EXPECT_NE(pixels(1, 2, 3), pixels(1, 3, 3));
  EXPECT_NE(pixels(1, 2, 3), pixels(1, 2, 4));
}

TEST(Augment, FlipsHalfOfTheImages) {
  AugmentOptions options = AugmentOptions::evaluation();
  options.center_fraction = 1;
  options.flip_probability = 0.5;
  const Image image{2, 2, 1, {0, 255, 0, 255}};
  int flipped = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    Bytes out(4);
    augment(image, options, {2, 2, 1}, Random(1, 1, i), out.data());
    flipped += out[0] == 255;
  }
  EXPECT_NEAR(flipped, 1000, 100);
}

// Each property at a factor that can be told: [1 - x, 1 + x] with both ends drawn.
TEST(Augment, ColourJitterStaysInItsRange) {
  AugmentOptions options = AugmentOptions::evaluation();
  options.center_fraction = 1;
  options.brightness = 0.5;
  const Image image{1, 1, 1, {100}};
  int darkest = 255, brightest = 0;
  for (uint64_t i = 0; i < 2000; ++i) {
    uint8_t out = 0;
    augment(image, options, {1, 1, 1}, Random(1, 1, i), &out);
    darkest = std::min<int>(darkest, out);
    brightest = std::max<int>(brightest, out);
  }
  EXPECT_NEAR(darkest, 50, 1);
  EXPECT_NEAR(brightest, 150, 1);
}

TEST(Augment, ContrastKeepsTheMeanAndSaturationTheLuma) {
  AugmentOptions contrast = AugmentOptions::evaluation();
  contrast.center_fraction = 1;
  contrast.contrast = 0.5;
  AugmentOptions saturation = contrast;
  saturation.contrast = 0;
  saturation.saturation = 0.5;
  const Image gray{2, 1, 1, {80, 160}};
  const Image colour{1, 1, 3, {150, 100, 80}};
  for (uint64_t i = 0; i < 100; ++i) {
    Bytes out(3);
    augment(gray, contrast, {1, 2, 1}, Random(1, 1, i), out.data());
    EXPECT_NEAR(out[0] + out[1], 240, 2);
    augment(colour, saturation, {1, 1, 3}, Random(1, 1, i), out.data());
    EXPECT_NEAR(.299 * out[0] + .587 * out[1] + .114 * out[2], 112.7, 1.5);
  }
}

TEST(AugmentOptions, SenselessValuesAreRefused) {
  EXPECT_THAT(error_of([] { check_options({.area_min = 0}); }), HasSubstr("crop area"));
  EXPECT_THAT(error_of([] { check_options({.flip_probability = 2}); }), HasSubstr("flip"));
  EXPECT_THAT(error_of([] { check_options({.center_fraction = 1.5}); }), HasSubstr("fraction"));
}

}  // namespace
}  // namespace tinytl

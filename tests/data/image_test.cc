// Decoders: what comes out of sound files, and that damaged ones are refused without a leak.

#include "tinytl/data/image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <algorithm>
#include <random>

#include "tests/data/support.h"

namespace tinytl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Decodes bytes by way of a file, as users do.
Image decode(const Bytes& bytes, int channels = 3, int at_least_side = 0) {
  const TempFolder folder;
  write_file(folder / "image", bytes);
  return decode_image(folder / "image", channels, at_least_side);
}

TEST(Jpeg, KeepsThePicture) {
  const Image image = test_image(61, 47, 3);
  EXPECT_LT(mean_difference(decode(jpeg_bytes(image)), image), 2);
  EXPECT_LT(mean_difference(decode(jpeg_bytes(image, {.progressive = true})), image), 2);
}

TEST(Jpeg, ConvertsBetweenGrayAndRgb) {
  const Image gray = test_image(40, 30, 1), rgb = test_image(40, 30, 3);
  EXPECT_LT(mean_difference(decode(jpeg_bytes(gray), 1), gray), 2);
  EXPECT_LT(mean_difference(decode(jpeg_bytes(gray), 3), with_channels(gray, 3)), 2);
  EXPECT_LT(mean_difference(decode(jpeg_bytes(rgb), 1), with_channels(rgb, 1)), 2);
}

TEST(Jpeg, ConvertsAdobeCmyk) {
  Image cmyk{32, 32, 4, {}};
  for (int i = 0; i < 32 * 32; ++i) {
    // Inverted inks: full cyan light, half magenta light, no yellow light, no black ink.
    const uint8_t inks[] = {255, 128, 0, 255};
    cmyk.pixels.insert(cmyk.pixels.end(), inks, inks + 4);
  }
  const Image rgb = decode(jpeg_bytes(cmyk, {.cmyk = true}));
  ASSERT_EQ(rgb.channels, 3);
  EXPECT_NEAR(rgb.pixels[0], 255, 3);
  EXPECT_NEAR(rgb.pixels[1], 128, 3);
  EXPECT_NEAR(rgb.pixels[2], 0, 3);
}

TEST(Jpeg, DecodesAtTheSmallestScaleThatIsLargeEnough) {
  const Bytes bytes = jpeg_bytes(test_image(640, 480, 3));
  EXPECT_EQ(decode(bytes, 3, 0).height, 480);
  EXPECT_EQ(decode(bytes, 3, 480).height, 480);
  EXPECT_EQ(decode(bytes, 3, 128).height, 180);  // 3/8; 2/8 would be 120
  EXPECT_EQ(decode(bytes, 3, 60).height, 60);
  EXPECT_EQ(decode(bytes, 3, 60).width, 80);
  EXPECT_EQ(decode(bytes, 3, 4000).height, 480);
  EXPECT_EQ(decode(bytes, 3, 20).height, 20);  // 1/8, then 1/3
}

TEST(Jpeg, HonoursExifOrientation) {
  // Left half dark, right half bright, top right corner black: all eight cases differ.
  Image image{64, 32, 1, Bytes(64 * 32)};
  const auto shade = [](double x, double y) { return x < .5 ? 60 : y < .5 ? 0 : 220; };
  for (int y = 0; y < 32; ++y) {
    for (int x = 0; x < 64; ++x) {
      image.pixels[y * 64 + x] = static_cast<uint8_t>(shade(x / 64., y / 32.));
    }
  }
  // Where the upright position (x, y) is stored, from the table of the EXIF standard.
  using Place = std::pair<double, double>;
  const std::function<Place(double, double)> stored[] = {
      [](double x, double y) { return Place(x, y); },
      [](double x, double y) { return Place(1 - x, y); },
      [](double x, double y) { return Place(1 - x, 1 - y); },
      [](double x, double y) { return Place(x, 1 - y); },
      [](double x, double y) { return Place(y, x); },
      [](double x, double y) { return Place(y, 1 - x); },
      [](double x, double y) { return Place(1 - y, 1 - x); },
      [](double x, double y) { return Place(1 - y, x); },
  };
  for (int orientation = 1; orientation <= 8; ++orientation) {
    SCOPED_TRACE(orientation);
    const Image upright = decode(jpeg_bytes(image, {.orientation = orientation}), 1);
    ASSERT_EQ(upright.width, orientation < 5 ? 64 : 32);
    for (const double x : {.2, .8}) {
      for (const double y : {.2, .8}) {
        const auto [from_x, from_y] = stored[orientation - 1](x, y);
        const size_t at = static_cast<size_t>(y * upright.height) * upright.width +
                          static_cast<size_t>(x * upright.width);
        EXPECT_NEAR(upright.pixels[at], shade(from_x, from_y), 6);
      }
    }
  }
}

TEST(Png, IsExact) {
  const Image rgb = test_image(33, 21, 3), gray = test_image(33, 21, 1);
  EXPECT_EQ(decode(png_bytes(rgb, PNG_COLOR_TYPE_RGB)).pixels, rgb.pixels);
  EXPECT_EQ(decode(png_bytes(rgb, PNG_COLOR_TYPE_RGB, 8, true)).pixels, rgb.pixels);
  EXPECT_EQ(decode(png_bytes(gray, PNG_COLOR_TYPE_GRAY), 1).pixels, gray.pixels);
  EXPECT_EQ(decode(png_bytes(gray, PNG_COLOR_TYPE_GRAY), 3).pixels, with_channels(gray, 3).pixels);
  EXPECT_EQ(decode(png_bytes(rgb, PNG_COLOR_TYPE_RGB), 1).pixels, with_channels(rgb, 1).pixels);
}

TEST(Png, ReadsPalettes) {
  const Image indices{2, 2, 1, {0, 1, 2, 1}};
  const Bytes palette{255, 0, 0, 0, 255, 0, 10, 20, 30};
  EXPECT_EQ(decode(png_bytes(indices, PNG_COLOR_TYPE_PALETTE, 8, false, palette)).pixels,
            (Bytes{255, 0, 0, 0, 255, 0, 10, 20, 30, 0, 255, 0}));
}

TEST(Png, ReadsOneBitAndSixteenBits) {
  const Image bits{8, 1, 1, {0b10100000}};
  EXPECT_EQ(decode(png_bytes(bits, PNG_COLOR_TYPE_GRAY, 1), 1).pixels,
            (Bytes{255, 0, 255, 0, 0, 0, 0, 0}));
  const Image wide{2, 1, 2, {0xFF, 0xFF, 0x80, 0x80}};  // big endian
  EXPECT_EQ(decode(png_bytes(wide, PNG_COLOR_TYPE_GRAY, 16), 1).pixels, (Bytes{255, 128}));
}

TEST(Png, LaysTransparentPixelsOverWhite) {
  const Image rgba{3, 1, 4, {10, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 128}};
  EXPECT_EQ(decode(png_bytes(rgba, PNG_COLOR_TYPE_RGBA)).pixels,
            (Bytes{10, 20, 30, 255, 255, 255, 127, 127, 127}));
  const Image gray_alpha{2, 1, 2, {40, 255, 40, 0}};
  EXPECT_EQ(decode(png_bytes(gray_alpha, PNG_COLOR_TYPE_GRAY_ALPHA), 1).pixels, (Bytes{40, 255}));
}

TEST(Png, IsReducedByWholeFractions) {
  const Image image = test_image(401, 300, 3);
  for (const bool interlaced : {false, true}) {
    const Image small = decode(png_bytes(image, PNG_COLOR_TYPE_RGB, 8, interlaced), 3, 100);
    ASSERT_EQ(small.width, 133);
    ASSERT_EQ(small.height, 100);
    int sum = 0;
    for (int y = 0; y < 3; ++y) {
      for (int x = 0; x < 3; ++x) sum += image.pixels[3 * ((30 + y) * 401 + 60 + x)];
    }
    EXPECT_EQ(small.pixels[3 * (10 * 133 + 20)], (sum + 4) / 9);
  }
}

TEST(BadImage, IsRefusedWithFileAndReason) {
  const TempFolder folder;
  write_file(folder / "empty.jpg", {});
  write_file(folder / "text.png", {'h', 'e', 'l', 'l', 'o'});
  const auto message = [&](const char* name) {
    return error_of([&] { decode_image(folder / name, 3, 0); });
  };
  EXPECT_THAT(message("empty.jpg"), AllOf(HasSubstr("empty.jpg"), HasSubstr("the file is empty")));
  EXPECT_THAT(message("text.png"), HasSubstr("neither JPEG nor PNG"));
  EXPECT_THAT(message("missing.jpg"), HasSubstr("cannot open it"));
  EXPECT_THAT(error_of([&] { decode_image(folder.path(), 3, 0); }), HasSubstr("cannot read it"));
}

TEST(BadImage, HugeOnesAreRefusedBeforeMemoryIsTaken) {
  Bytes jpeg = jpeg_bytes(test_image(16, 16, 3));
  const Bytes start_of_frame{0xFF, 0xC0};
  auto at = std::search(jpeg.begin(), jpeg.end(), start_of_frame.begin(), start_of_frame.end());
  std::fill_n(at + 5, 4, uint8_t{0xEA});  // 60138 x 60138
  EXPECT_THAT(error_of([&] { decode(jpeg); }), HasSubstr("100 megapixel"));
}

// libjpeg holds the whole of a progressive file; a baseline one of that size would be decoded.
TEST(BadImage, LargeProgressiveOnesAreRefusedBeforeMemoryIsTaken) {
  Bytes jpeg = jpeg_bytes(test_image(16, 16, 3), {.progressive = true});
  const Bytes start_of_frame{0xFF, 0xC2};
  auto at = std::search(jpeg.begin(), jpeg.end(), start_of_frame.begin(), start_of_frame.end());
  ASSERT_NE(at, jpeg.end());
  const Bytes extents{0x17, 0x70, 0x17, 0x70};  // 6000 x 6000
  std::copy(extents.begin(), extents.end(), at + 5);
  EXPECT_THAT(error_of([&] { decode(jpeg); }),
              HasSubstr("progressive JPEG of 6000x6000 needs 108 MB to decode; store it as "
                        "baseline"));
}

TEST(BadImage, EveryTruncationIsDamage) {
  const Image image = test_image(64, 48, 3);
  const Bytes files[] = {jpeg_bytes(image), jpeg_bytes(image, {.progressive = true}),
                         png_bytes(image, PNG_COLOR_TYPE_RGB),
                         png_bytes(image, PNG_COLOR_TYPE_RGB, 8, true)};
  for (const Bytes& file : files) {
    for (size_t size = 0; size < file.size(); size += 97) {
      SCOPED_TRACE(size);
      EXPECT_THROW(decode({file.begin(), file.begin() + static_cast<long>(size)}), ImageError);
    }
    EXPECT_THROW(decode({file.begin(), file.end() - 1}), ImageError);
  }
}

// Under the address sanitizer: an image or an error, never a crash or a leak.
TEST(BadImage, MutatedBytesAreDecodedOrRefused) {
  const Image image = test_image(48, 40, 3), gray = test_image(48, 40, 1);
  const Bytes files[] = {jpeg_bytes(image, {.orientation = 6}),
                         jpeg_bytes(image, {.progressive = true}), jpeg_bytes(gray),
                         png_bytes(image, PNG_COLOR_TYPE_RGB, 8, true)};
  std::mt19937 rng(7);
  int refused = 0;
  for (const Bytes& file : files) {
    for (int trial = 0; trial < 300; ++trial) {
      Bytes mutated = file;
      const size_t range = trial % 2 == 0 ? mutated.size() : std::min<size_t>(700, mutated.size());
      for (int i = 0; i < 1 + trial % 5; ++i) {
        mutated[rng() % range] = static_cast<uint8_t>(rng());
      }
      try {
        const Image out = decode(mutated, trial % 3 == 0 ? 1 : 3, 32);
        EXPECT_EQ(out.pixels.size(), size_t(out.width) * out.height * out.channels);
      } catch (const ImageError&) {
        ++refused;
      }
    }
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace tinytl

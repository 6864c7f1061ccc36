#include "tinytl/data/image.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "tinytl/data/codec.h"

namespace tinytl {
namespace {

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

enum class Format { kJpeg, kPng };

Format format_of(std::FILE* file) {
  constexpr std::array<unsigned char, 8> kPng{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  constexpr std::array<unsigned char, 3> kJpeg{0xFF, 0xD8, 0xFF};
  std::array<unsigned char, 8> head{};
  const size_t got = std::fread(head.data(), 1, head.size(), file);
  if (std::ferror(file)) throw ImageError(std::string("cannot read it: ") + std::strerror(errno));
  if (got == 0) throw ImageError("the file is empty");
  std::rewind(file);
  if (head == kPng) return Format::kPng;
  if (got >= kJpeg.size() && std::equal(kJpeg.begin(), kJpeg.end(), head.begin())) {
    return Format::kJpeg;
  }
  throw ImageError("neither JPEG nor PNG");
}

}  // namespace

Image decode_image(const std::filesystem::path& path, int channels, int at_least_side) try {
  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "rb"));
  if (!file) throw ImageError(std::string("cannot open it: ") + std::strerror(errno));
  return format_of(file.get()) == Format::kJpeg ? decode_jpeg(file.get(), channels, at_least_side)
                                                : decode_png(file.get(), channels, at_least_side);
} catch (const ImageError& reason) {
  throw ImageError("image " + path.string() + ": " + reason.what() +
                   ": replace or remove the file");
}

void check_image_size(int64_t width, int64_t height) {
  if (width > 0 && height > 0 && width <= kMaxImagePixels / height) return;
  throw ImageError(std::to_string(width) + "x" + std::to_string(height) +
                   " pixels is outside the 100 megapixel limit");
}

Image with_channels(Image image, int channels) {
  if (image.channels == channels) return image;
  Image out{image.width, image.height, channels, {}};
  const size_t count = static_cast<size_t>(image.width) * image.height;
  out.pixels.resize(count * channels);
  const uint8_t* in = image.pixels.data();
  for (size_t i = 0; i < count; ++i) {
    if (channels == 1) {
      out.pixels[i] = luma(in[3 * i], in[3 * i + 1], in[3 * i + 2]);
    } else {
      std::fill_n(&out.pixels[3 * i], 3, in[i]);
    }
  }
  return out;
}

Image upright(Image image, int exif_orientation) {
  if (exif_orientation < 2 || exif_orientation > 8) return image;
  // Every orientation is a mirror in x, in y, or both, after an exchange of the axes or not.
  const bool exchange = exif_orientation >= 5;
  const bool from_right = exif_orientation == 2 || exif_orientation == 3 || exif_orientation == 7 ||
                          exif_orientation == 8;
  const bool from_bottom = exif_orientation == 3 || exif_orientation == 4 ||
                           exif_orientation == 6 || exif_orientation == 7;
  Image out{exchange ? image.height : image.width, exchange ? image.width : image.height,
            image.channels, std::vector<uint8_t>(image.pixels.size())};
  uint8_t* to = out.pixels.data();
  for (int y = 0; y < out.height; ++y) {
    for (int x = 0; x < out.width; ++x, to += out.channels) {
      int from_x = exchange ? y : x, from_y = exchange ? x : y;
      if (from_right) from_x = image.width - 1 - from_x;
      if (from_bottom) from_y = image.height - 1 - from_y;
      const size_t from = static_cast<size_t>(from_y) * image.width + from_x;
      std::copy_n(&image.pixels[from * out.channels], out.channels, to);
    }
  }
  return out;
}

}  // namespace tinytl

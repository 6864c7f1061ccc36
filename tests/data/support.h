// Files that the tests of tinytl/data write for themselves.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tinytl/data/image.h"

namespace tinytl {

using Bytes = std::vector<uint8_t>;

// A new folder, removed with all it holds at the end of the test.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Both make the folders on the way.
void write_file(const std::filesystem::path& path, const Bytes& bytes);
void write_gzip(const std::filesystem::path& path, const Bytes& bytes);
Bytes read_file(const std::filesystem::path& path);

// Smooth colours, different for each `seed`: they survive JPEG.
Image test_image(int width, int height, int channels, uint32_t seed = 0);

struct JpegOptions {
  int orientation = 0;  // 0: no EXIF block
  bool progressive = false;
  bool cmyk = false;  // the image has 4 channels, as Adobe stores inks
};
Bytes jpeg_bytes(const Image& image, const JpegOptions& options = {});

// color_type as in png.h; `image` holds the bytes as libpng takes them.
Bytes png_bytes(const Image& image, int color_type, int bit_depth = 8, bool interlaced = false,
                const Bytes& palette = {});

// type 0x08 bytes, 0x0C int32, 0x0D float; `body` is big endian already.
Bytes idx_bytes(int type, const std::vector<uint32_t>& extents, const Bytes& body);
Bytes big_endian(const std::vector<float>& values);

// A JPEG of its own for every (class, number), under folder/CLASS/img_N.jpg.
void write_class(const std::filesystem::path& folder, const std::string& name, int count,
                 int width = 40, int height = 32);

double mean_difference(const Image& a, const Image& b);

// The message of the InputError that `call` throws.
std::string error_of(const std::function<void()>& call);

}  // namespace tinytl

#include "tests/data/support.h"

#include <png.h>
#include <stdlib.h>
#include <zlib.h>

#include <bit>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
// jpeglib.h needs size_t and FILE to be declared before it.
#include <jpeglib.h>

namespace tinytl {
namespace fs = std::filesystem;

TempFolder::TempFolder() {
  std::string name = (fs::temp_directory_path() / "tinytl-test-XXXXXX").string();
  path_ = mkdtemp(name.data());
}

TempFolder::~TempFolder() { fs::remove_all(path_); }

void write_file(const fs::path& path, const Bytes& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

void write_gzip(const fs::path& path, const Bytes& bytes) {
  fs::create_directories(path.parent_path());
  const gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  gzclose(file);
}

Bytes read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

Image test_image(int width, int height, int channels, uint32_t seed) {
  Image image{width, height, channels, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        const double phase = 0.7 * seed + 2.1 * c;
        const double wave = std::sin(phase + 4.0 * x / width) * std::cos(phase + 3.0 * y / height);
        image.pixels.push_back(static_cast<uint8_t>(128 + 110 * wave));
      }
    }
  }
  return image;
}

namespace {

void write_exif(jpeg_compress_struct& info, int orientation) {
  const uint8_t exif[] = {'E',  'x',  'i', 'f',  0, 0,        //
                          'M',  'M',  0,   0x2A, 0, 0, 0, 8,  //
                          0,    1,                            //
                          0x01, 0x12, 0,   3,    0, 0, 0, 1, 0, static_cast<uint8_t>(orientation),
                          0,    0,    0,   0,    0, 0};
  jpeg_write_marker(&info, JPEG_APP0 + 1, exif, sizeof exif);
}

}  // namespace

Bytes jpeg_bytes(const Image& image, const JpegOptions& options) {
  jpeg_compress_struct info{};
  jpeg_error_mgr errors{};
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* data = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &data, &size);
  info.image_width = static_cast<JDIMENSION>(image.width);
  info.image_height = static_cast<JDIMENSION>(image.height);
  info.input_components = image.channels;
  info.in_color_space = options.cmyk ? JCS_CMYK : image.channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&info);
  jpeg_set_quality(&info, 95, TRUE);
  if (options.progressive) jpeg_simple_progression(&info);
  if (options.cmyk) info.write_Adobe_marker = TRUE;
  jpeg_start_compress(&info, TRUE);
  if (options.orientation > 0) write_exif(info, options.orientation);
  const size_t row_bytes = static_cast<size_t>(image.width) * image.channels;
  while (info.next_scanline < info.image_height) {
    auto* row = const_cast<uint8_t*>(image.pixels.data()) + row_bytes * info.next_scanline;
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  const Bytes bytes(data, data + size);
  std::free(data);
  return bytes;
}

Bytes png_bytes(const Image& image, int color_type, int bit_depth, bool interlaced,
                const Bytes& palette) {
  Bytes bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp p, png_bytep data, size_t size) {
        auto* out = static_cast<Bytes*>(png_get_io_ptr(p));
        out->insert(out->end(), data, data + size);
      },
      nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(image.width),
               static_cast<png_uint_32>(image.height), bit_depth, color_type,
               interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  if (!palette.empty()) {
    png_set_PLTE(png, info, reinterpret_cast<png_const_colorp>(palette.data()),
                 static_cast<int>(palette.size() / 3));
  }
  std::vector<png_bytep> rows;
  const size_t row_bytes = image.pixels.size() / image.height;
  for (int y = 0; y < image.height; ++y) {
    rows.push_back(const_cast<png_bytep>(image.pixels.data()) + row_bytes * y);
  }
  png_set_rows(png, info, rows.data());
  png_write_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

Bytes idx_bytes(int type, const std::vector<uint32_t>& extents, const Bytes& body) {
  Bytes bytes{0, 0, static_cast<uint8_t>(type), static_cast<uint8_t>(extents.size())};
  for (const uint32_t extent : extents) {
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<uint8_t>(extent >> shift));
    }
  }
  bytes.insert(bytes.end(), body.begin(), body.end());
  return bytes;
}

Bytes big_endian(const std::vector<float>& values) {
  Bytes bytes;
  for (const float value : values) {
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int shift = 24; shift >= 0; shift -= 8) {
      bytes.push_back(static_cast<uint8_t>(bits >> shift));
    }
  }
  return bytes;
}

void write_class(const fs::path& folder, const std::string& name, int count, int width,
                 int height) {
  for (int i = 0; i < count; ++i) {
    const uint32_t seed = static_cast<uint32_t>(name.front()) * 100 + static_cast<uint32_t>(i);
    write_file(folder / name / ("img_" + std::to_string(i) + ".jpg"),
               jpeg_bytes(test_image(width, height, 3, seed)));
  }
}

double mean_difference(const Image& a, const Image& b) {
  if (a.width != b.width || a.height != b.height || a.channels != b.channels) return 1e9;
  double sum = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) sum += std::abs(a.pixels[i] - b.pixels[i]);
  return sum / static_cast<double>(a.pixels.size());
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const InputError& error) {
    return error.what();
  }
  return "(no error)";
}

}  // namespace tinytl

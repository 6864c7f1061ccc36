// PNG through libpng, which leaves on errors by longjmp: the same discipline as in jpeg.cc.

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>

#include "tinytl/data/codec.h"
#include "tinytl/data/reduce.h"

namespace tinytl {
namespace {

struct Decoder {
  png_structp png = nullptr;
  png_infop info = nullptr;
  std::jmp_buf on_error;
  char reason[128] = "";

  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { png_destroy_read_struct(&png, &info, nullptr); }
};

[[noreturn]] void fail(png_structp png, png_const_charp message) {
  auto* decoder = static_cast<Decoder*>(png_get_error_ptr(png));
  std::snprintf(decoder->reason, sizeof decoder->reason, "%s", message);
  std::longjmp(decoder->on_error, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

template <typename Calls>
void run(Decoder& decoder, const Calls& calls) {
  if (!completes(decoder, calls)) {
    throw ImageError(std::string("cannot decode its PNG data (") + decoder.reason + ")");
  }
}

// After this every row is 8-bit gray, gray + alpha, RGB or RGBA.
void ask_for_plain_rows(png_structp png, png_infop info) {
  png_set_expand(png);
  png_set_scale_16(png);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
}

}  // namespace

Image decode_png(std::FILE* file, int channels, int at_least_side) {
  Decoder decoder;
  decoder.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &decoder, fail, ignore_warning);
  if (!decoder.png) throw ImageError("libpng differs from the version this was built for");
  run(decoder, [&] {
    decoder.info = png_create_info_struct(decoder.png);
    if (!decoder.info) png_error(decoder.png, "out of memory");
    png_init_io(decoder.png, file);
    png_read_info(decoder.png, decoder.info);
  });
  const int64_t full_width = png_get_image_width(decoder.png, decoder.info);
  const int64_t full_height = png_get_image_height(decoder.png, decoder.info);
  check_image_size(full_width, full_height);
  run(decoder, [&] { ask_for_plain_rows(decoder.png, decoder.info); });

  const int width = static_cast<int>(full_width), height = static_cast<int>(full_height);
  const size_t row_bytes = png_get_rowbytes(decoder.png, decoder.info);
  const int factor = reduction(std::min(width, height), at_least_side);
  Reducer reducer(width, height, png_get_channels(decoder.png, decoder.info), channels, factor);

  // An interlaced file finishes its first row only in the last pass: it has to be held whole.
  const bool interlaced = png_get_interlace_type(decoder.png, decoder.info) != PNG_INTERLACE_NONE;
  std::vector<uint8_t> rows(interlaced ? row_bytes * full_height : row_bytes);
  run(decoder, [&] {
    const int passes = interlaced ? 7 : 1;
    for (int pass = 0; pass < passes; ++pass) {
      for (int y = 0; y < height; ++y) {
        uint8_t* row = rows.data() + (interlaced ? row_bytes * y : 0);
        png_read_row(decoder.png, row, nullptr);
        if (pass == passes - 1) reducer.add_row(row);
      }
    }
    png_read_end(decoder.png, nullptr);
  });
  return reducer.take();
}

}  // namespace tinytl

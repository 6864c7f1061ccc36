// What the JPEG and the PNG decoder share. Private to this folder.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <string>

#include "tinytl/data/image.h"

namespace tinytl {

// Both read from the start of the file and throw ImageError with only the reason as its message;
// decode_image() adds the path.
Image decode_jpeg(std::FILE* file, int channels, int at_least_side);
Image decode_png(std::FILE* file, int channels, int at_least_side);

// Runs `calls` into a C library whose error handler jumps to decoder.on_error; false if it did.
// What `calls` would destroy on its way out must live outside of it.
template <typename Decoder, typename Calls>
bool completes(Decoder& decoder, const Calls& calls) {
  if (setjmp(decoder.on_error) != 0) return false;
  calls();
  return true;
}

// Throws if the image has no pixels or more than kMaxImagePixels.
void check_image_size(int64_t width, int64_t height);

// Undoes an EXIF orientation (1 to 8); other values leave the image alone.
Image upright(Image image, int exif_orientation);

// ITU-R BT.601 luma in 16-bit fixed point.
inline uint8_t luma(int red, int green, int blue) {
  return static_cast<uint8_t>((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16);
}

}  // namespace tinytl

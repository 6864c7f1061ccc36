// Decoded images, and the decoders of JPEG and PNG files.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "engine/graph/error.h"

namespace tinytl {

// Interleaved 8-bit pixels: row by row, channels innermost.
struct Image {
  int width = 0, height = 0, channels = 0;
  std::vector<uint8_t> pixels;  // [height, width, channels]
};

// A file that is not a sound JPEG or PNG.
class ImageError : public InputError {
 public:
  using InputError::InputError;
};

// More than this is refused before any memory is taken for pixels.
inline constexpr int64_t kMaxImagePixels = 100'000'000;

// Reads a JPEG or PNG file (told apart by their first bytes, not by name) as gray or RGB.
//
// The image is upright: the EXIF orientation of a JPEG is applied. CMYK becomes RGB, 16 bits become
// 8, and transparent pixels are laid over white.
//
// channels       1 (gray) or 3 (RGB), whatever the file holds.
// at_least_side  the shorter side the caller needs, in pixels: a larger file is decoded at a
// smaller
//                scale that still has it (JPEG: eighths inside the decoder; then, as for PNG, whole
//                fractions, row by row), so that memory follows the need and not the file. 0: full
//                size.
//
// Throws ImageError, naming file and reason, if the file is damaged, cut short, empty or huge. A
// progressive JPEG is decoded from all its coefficients (about 3 bytes a pixel), at most 64 MB.
Image decode_image(const std::filesystem::path& path, int channels, int at_least_side);

// Gray to RGB or back; returns the image itself if it already has that many channels.
Image with_channels(Image image, int channels);

}  // namespace tinytl

// JPEG through libjpeg-turbo, which leaves on errors by longjmp. Every call that can fail sits in
// completes(), whose frames hold nothing with a destructor; all that owns memory lives outside.

#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <cstring>
// jpeglib.h needs size_t and FILE to be declared before it.
#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <span>
#include <utility>

#include "tinytl/data/codec.h"
#include "tinytl/data/reduce.h"

namespace tinytl {
namespace {

// A progressive file may hold any number of scans over the full image: a few kilobytes that take
// hours. Real files have about ten.
constexpr int kMaxScans = 200;
// A progressive file is held whole, as coefficients; a baseline file takes a few rows.
constexpr size_t kMaxCoefficientBytes = size_t{64} << 20;
constexpr long kMaxDecoderBytes = static_cast<long>(kMaxCoefficientBytes) + (16L << 20);

struct Decoder {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf on_error;
  char reason[JMSG_LENGTH_MAX] = "";

  Decoder() = default;
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
  ~Decoder() { jpeg_destroy_decompress(&info); }
};

[[noreturn]] void fail(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  info->err->format_message(info, decoder->reason);
  std::longjmp(decoder->on_error, 1);
}

// Warnings are repairs of damaged data, except some that harmless files of real cameras cause.
void on_message(j_common_ptr info, int level) {
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
      fail(info);
  }
}

void limit_scans(j_common_ptr info) {
  auto* decoder = static_cast<Decoder*>(info->client_data);
  if (decoder->info.input_scan_number <= kMaxScans) return;
  std::strcpy(decoder->reason, "too many scans");
  std::longjmp(decoder->on_error, 1);
}

template <typename Calls>
void run(Decoder& decoder, const Calls& calls) {
  if (!completes(decoder, calls)) {
    throw ImageError(std::string("cannot decode its JPEG data (") + decoder.reason + ")");
  }
}

void read_header(Decoder& decoder, std::FILE* file) {
  jpeg_decompress_struct& info = decoder.info;
  info.client_data = &decoder;
  info.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = fail;
  decoder.errors.emit_message = on_message;
  decoder.progress.progress_monitor = limit_scans;
  run(decoder, [&] {
    jpeg_create_decompress(&info);  // keeps client_data and err
    info.progress = &decoder.progress;
    info.mem->max_memory_to_use = kMaxDecoderBytes;
    jpeg_stdio_src(&info, file);
    jpeg_save_markers(&info, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(&info, TRUE);
  });
}

void check_coefficients(jpeg_decompress_struct& info) {
  if (!jpeg_has_multiple_scans(&info)) return;
  size_t bytes = 0;
  for (int c = 0; c < info.num_components; ++c) {
    const jpeg_component_info& component = info.comp_info[c];
    bytes += sizeof(JBLOCK) * component.width_in_blocks * component.height_in_blocks;
  }
  if (bytes <= kMaxCoefficientBytes) return;
  throw ImageError("progressive JPEG of " + std::to_string(info.image_width) + "x" +
                   std::to_string(info.image_height) + " needs " +
                   std::to_string((bytes + 999'999) / 1'000'000) +
                   " MB to decode; store it as baseline");
}

// The value of tag 0x0112 in the first directory of an EXIF block, or 1 (upright).
int exif_orientation(std::span<const uint8_t> app1) {
  if (app1.size() < 14 || std::memcmp(app1.data(), "Exif\0\0", 6) != 0) return 1;
  const std::span<const uint8_t> tiff = app1.subspan(6);
  const bool little = tiff[0] == 'I';
  const auto number = [&](size_t at, int bytes) {
    uint32_t value = 0;
    for (int i = 0; i < bytes; ++i) {
      const size_t from = at + static_cast<size_t>(little ? bytes - 1 - i : i);
      value = value << 8 | (from < tiff.size() ? tiff[from] : 0u);
    }
    return value;
  };
  const size_t directory = number(4, 4);
  const uint32_t entries = number(directory, 2);
  for (uint32_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + size_t{12} * i;
    if (entry + 12 > tiff.size()) break;
    if (number(entry, 2) == 0x0112) return static_cast<int>(number(entry + 8, 2));
  }
  return 1;
}

int orientation_of(const jpeg_decompress_struct& info) {
  for (const jpeg_marker_struct* marker = info.marker_list; marker; marker = marker->next) {
    const int orientation = exif_orientation({marker->data, marker->data_length});
    if (orientation != 1) return orientation;
  }
  return 1;
}

// The smallest number of eighths that leaves both sides at least `side` long.
unsigned scale_eighths(const jpeg_decompress_struct& info, int side) {
  const int64_t shorter = std::min(info.image_width, info.image_height);
  unsigned eighths = 1;
  while (eighths < 8 && (side <= 0 || shorter * eighths < int64_t{side} * 8)) ++eighths;
  return eighths;
}

bool is_cmyk(const jpeg_decompress_struct& info) {
  return info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
}

// In place. Adobe's files, which are nearly all CMYK JPEGs, store inks inverted: 255 is no ink.
void cmyk_to_rgb(std::span<uint8_t> row, bool inverted) {
  for (size_t i = 0; i < row.size() / 4; ++i) {
    const int black = inverted ? row[4 * i + 3] : 255 - row[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) {
      const int light = inverted ? row[4 * i + c] : 255 - row[4 * i + c];
      row[3 * i + c] = static_cast<uint8_t>((light * black + 127) / 255);
    }
  }
}

}  // namespace

Image decode_jpeg(std::FILE* file, int channels, int at_least_side) {
  Decoder decoder;
  jpeg_decompress_struct& info = decoder.info;
  read_header(decoder, file);
  check_image_size(info.image_width, info.image_height);
  check_coefficients(info);
  const int orientation = orientation_of(info);

  info.scale_num = scale_eighths(info, at_least_side);
  info.scale_denom = 8;
  info.out_color_space = is_cmyk(info) ? JCS_CMYK : channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  run(decoder, [&] { jpeg_start_decompress(&info); });

  // One eighth is the decoder's smallest scale, and still too large a picture of a good camera.
  const auto width = static_cast<int>(info.output_width);
  const auto height = static_cast<int>(info.output_height);
  Reducer reducer(width, height, is_cmyk(info) ? 3 : info.output_components, channels,
                  reduction(std::min(width, height), at_least_side));
  std::vector<uint8_t> row(info.output_width * static_cast<size_t>(info.output_components));
  run(decoder, [&] {
    while (info.output_scanline < info.output_height) {
      JSAMPROW to = row.data();
      jpeg_read_scanlines(&info, &to, 1);
      if (is_cmyk(info)) cmyk_to_rgb(row, info.saw_Adobe_marker != 0);
      reducer.add_row(row.data());
    }
    jpeg_finish_decompress(&info);
  });
  return upright(reducer.take(), orientation);
}

}  // namespace tinytl

// Shrinking by whole fractions, row by row. Private to this folder.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "tinytl/data/image.h"

namespace tinytl {

// The largest whole fraction that leaves the shorter side at least `at_least_side` long (0: 1).
int reduction(int shorter_side, int at_least_side);

// Averages squares of factor x factor pixels as rows arrive, so that a large file never stands in
// memory at full size. Rows and columns that fill no square are left out.
class Reducer {
 public:
  // Rows are 8-bit gray, gray + alpha, RGB or RGBA (source_channels 1 to 4); the image is gray or
  // RGB, transparent pixels over white.
  Reducer(int width, int height, int source_channels, int channels, int factor);

  void add_row(const uint8_t* row);
  Image take() { return std::move(image_); }

 private:
  void add_pixel(const uint8_t* p, uint32_t* sum) const;
  void finish_row();

  Image image_;
  std::vector<uint32_t> sums_;  // [width, channels] of the output row that is being filled
  int source_channels_, factor_;
  int next_row_ = 0;
};

}  // namespace tinytl

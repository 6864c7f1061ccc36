// Bilinear resampling of a part of an image.
#pragma once

#include "tinytl/data/image.h"

namespace tinytl {

// A rectangle of whole pixels inside an image.
struct Box {
  int x = 0, y = 0, width = 0, height = 0;
};

// Resamples `box` of `in` to out[height, width, in.channels], mirrored left to right if asked.
//
// Plain bilinear with half-pixel centres and no antialiasing: output x reads the two pixels around
// (x + 0.5) * box.width / width - 0.5, held at the edges of the box. In 11-bit fixed point, hence
// the same bits on every machine, and within one gray level of the exact value.
void resize_bilinear(const Image& in, const Box& box, bool mirror, int height, int width,
                     uint8_t* out);

}  // namespace tinytl

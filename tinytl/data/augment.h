// From a decoded image of any size to the pixels a network takes: crop, resize, flip, colour.
#pragma once

#include "tinytl/data/image.h"
#include "tinytl/data/random.h"
#include "tinytl/data/resize.h"

namespace tinytl {

// What the network takes.
struct InputSize {
  int height = 0, width = 0, channels = 3;
};

struct AugmentOptions {
  // A random part of the image (RandomResizedCrop): its area as a fraction of the image, its width
  // to height ratio log-uniform. Otherwise the centre.
  bool random_crop = true;
  double area_min = 0.35, area_max = 1;
  double ratio_min = 3.0 / 4, ratio_max = 4.0 / 3;

  // The centre crop takes this fraction of the largest centred rectangle of the network's shape.
  double center_fraction = 0.875;

  // Treats the image as if it had the network's shape: the centre is then the whole image, and a
  // random crop is chosen in the squashed image.
  bool squash = false;

  double flip_probability = 0.5;

  // Each factor is uniform in [1 - x, 1 + x]; 0 leaves the property alone.
  double brightness = 0, contrast = 0, saturation = 0;

  static AugmentOptions training() { return {}; }
  static AugmentOptions evaluation() { return {.random_crop = false, .flip_probability = 0}; }
};

// Throws InputError if a value is outside its range.
void check_options(const AugmentOptions& options);

// The shorter side that an image needs so that none of its detail is missed (for decode_image).
int decode_side(const AugmentOptions& options, const InputSize& size);

// The part of the image that augment() takes.
Box random_crop(const AugmentOptions& options, int image_width, int image_height, Random& random);
Box center_crop(const AugmentOptions& options, int image_width, int image_height,
                const InputSize& size);

// Fills out[size.height, size.width, image.channels]. The result depends on nothing but the
// arguments: give the same Random to get the same pixels.
void augment(const Image& image, const AugmentOptions& options, const InputSize& size,
             Random random, uint8_t* out);

}  // namespace tinytl

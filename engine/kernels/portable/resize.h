// Where a resized pixel reads.
#ifndef TINYTL_ENGINE_KERNELS_PORTABLE_RESIZE_H_
#define TINYTL_ENGINE_KERNELS_PORTABLE_RESIZE_H_

#include "engine/kernels/portable/portable.h"

// y = (1 - weight) x[low] + weight x[high]; where the weight is 0, `high` is not read.
typedef struct {
  int32_t low, high;
  float weight;
} tt_tap;

// Pixel `i` of `out` along one dimension, over `in` pixels. Exact up to the rounding of the weight.
static inline tt_tap tt_tap_of(tt_resize_mode mode, int32_t i, int32_t in, int32_t out) {
  int64_t place = (int64_t)i * in, parts = out;  // it reads at place / parts
  if (mode == TT_HALF_PIXEL) {
    place = (2 * (int64_t)i + 1) * in - out;
    parts = 2 * (int64_t)out;
  } else if (mode == TT_ALIGN_CORNERS) {
    place = (int64_t)i * (in - 1);
    parts = out > 1 ? out - 1 : 1;
  }
  if (place < 0) place = 0;
  const int64_t low = place / parts;
  tt_tap tap = {(int32_t)low, (int32_t)low, 0.0f};
  if (mode == TT_NEAREST || low >= in - 1) return tap;
  tap.high = tap.low + 1;
  tap.weight = (float)(place - low * parts) / (float)parts;
  return tap;
}

static inline tt_tap tt_tap_row(const tt_resize_shape* s, int32_t p) {
  return tt_tap_of(s->mode, p, s->in_h, s->out_h);
}

static inline tt_tap tt_tap_column(const tt_resize_shape* s, int32_t q) {
  return tt_tap_of(s->mode, q, s->in_w, s->out_w);
}

// With which weight a tap reads pixel `at`; 0 where it does not.
static inline float tt_tap_weight(const tt_tap* tap, int32_t at) {
  return tap->low == at ? 1.0f - tap->weight : tap->high == at ? tap->weight : 0.0f;
}

enum { TT_MOST_READERS = 16 };

// Rows of dy that read one row of dx, as many as are added at a time.
typedef struct {
  int32_t count, row[TT_MOST_READERS];
  float weight[TT_MOST_READERS];
} tt_readers;

// The first row of dy that may read row `h`.
static inline int32_t tt_first_reader(const tt_resize_shape* s, int32_t h) {
  const int64_t first = ((int64_t)h - 1) * s->out_h / s->in_h - 1;
  return first > 0 ? (int32_t)first : 0;
}

// Collects readers of row `h` from row *p on, and moves *p behind them; count = 0: there are none.
static inline tt_readers tt_next_readers(const tt_resize_shape* s, int32_t h, int32_t* p) {
  tt_readers readers;
  readers.count = 0;
  for (; *p < s->out_h && readers.count < TT_MOST_READERS; ++*p) {
    const tt_tap tap = tt_tap_row(s, *p);
    if (tap.low > h) break;
    const float weight = tt_tap_weight(&tap, h);
    if (weight == 0.0f) continue;
    readers.row[readers.count] = *p;
    readers.weight[readers.count] = weight;
    ++readers.count;
  }
  return readers;
}

#endif  // TINYTL_ENGINE_KERNELS_PORTABLE_RESIZE_H_

// What the linear kernels share: elements of 8-bit weights, and the end of a result.
#ifndef TINYTL_ENGINE_KERNELS_PORTABLE_LAYER_H_
#define TINYTL_ENGINE_KERNELS_PORTABLE_LAYER_H_

#include "engine/kernels/portable/portable.h"

// Element i of the weights, in channel c of their last axis.
static inline float tt_weight(const tt_weights* w, int64_t i, int64_t c) {
  return w->f32 ? w->f32[i] : (float)w->q8[i] * w->scale[c];
}

// w from element i on, the first of which is of channel c.
static inline tt_weights tt_weights_from(const tt_weights* w, int64_t i, int64_t c) {
  const tt_weights rest = {w->f32 ? w->f32 + i : 0, w->f32 ? 0 : w->q8 + i,
                           w->f32 ? 0 : w->scale + c};
  return rest;
}

// Element `at` of a result, whose bias is added already. Rows in order.
static inline float tt_finish(const tt_epilogue* e, float y, int64_t at) {
  if (e->clip) {
    y = y < e->low ? e->low : y;
    y = y > e->high ? e->high : y;
  }
  if (e->inside) {
    const unsigned bit = (unsigned)(e->low < y && y < e->high) << (at % 8);
    if (at % 8 == 0) e->inside[at / 8] = 0;
    e->inside[at / 8] = (uint8_t)(e->inside[at / 8] | bit);
  }
  if (e->keep && !(e->keep[at / 8] >> (at % 8) & 1)) return 0.0f;
  if (e->keep_within && !(e->low < e->keep_within[at] && e->keep_within[at] < e->high)) return 0.0f;
  return y;
}

#endif  // TINYTL_ENGINE_KERNELS_PORTABLE_LAYER_H_

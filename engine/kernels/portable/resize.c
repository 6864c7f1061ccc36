// Resize and its adjoint, which gathers every row of dx from the rows of dy that read it.
#include "engine/kernels/portable/resize.h"

#include <string.h>

static void add_weighted(const float* x, float weight, int32_t channels, float* y) {
  if (weight == 0.0f) return;
  for (int32_t c = 0; c < channels; ++c) y[c] += weight * x[c];
}

void tt_resize_f32(const tt_resize_shape* s, int64_t first, int64_t last, const float* x,
                   float* y) {
  const int64_t line = (int64_t)s->in_w * s->channels;
  y += first * s->out_w * s->channels;
  for (int64_t row = first; row < last; ++row) {
    const tt_tap h = tt_tap_row(s, (int32_t)(row % s->out_h));
    const float* image = x + row / s->out_h * s->in_h * line;
    const float* top = image + h.low * line;
    const float* bottom = image + h.high * line;
    for (int32_t q = 0; q < s->out_w; ++q, y += s->channels) {
      const tt_tap v = tt_tap_column(s, q);
      const int64_t left = (int64_t)v.low * s->channels, right = (int64_t)v.high * s->channels;
      memset(y, 0, sizeof *y * (size_t)s->channels);
      add_weighted(top + left, (1.0f - h.weight) * (1.0f - v.weight), s->channels, y);
      add_weighted(top + right, (1.0f - h.weight) * v.weight, s->channels, y);
      add_weighted(bottom + left, h.weight * (1.0f - v.weight), s->channels, y);
      add_weighted(bottom + right, h.weight * v.weight, s->channels, y);
    }
  }
}

// What all readers read at one element of their rows.
static float sum_readers(const tt_readers* readers, const float* dy, int64_t line) {
  float sum = 0.0f;
  for (int32_t k = 0; k < readers->count; ++k) {
    sum += readers->weight[k] * dy[readers->row[k] * line];
  }
  return sum;
}

static void add_readers(const tt_resize_shape* s, const tt_readers* readers, const float* dy,
                        float* dx) {
  const int64_t line = (int64_t)s->out_w * s->channels;
  for (int32_t q = 0; q < s->out_w; ++q, dy += s->channels) {
    const tt_tap v = tt_tap_column(s, q);
    float* left = dx + (int64_t)v.low * s->channels;
    float* right = dx + (int64_t)v.high * s->channels;
    for (int32_t c = 0; c < s->channels; ++c) {
      const float sum = sum_readers(readers, dy + c, line);
      left[c] += (1.0f - v.weight) * sum;
      if (v.weight != 0.0f) right[c] += v.weight * sum;
    }
  }
}

void tt_resize_grad_f32(const tt_resize_shape* s, int64_t first, int64_t last, const float* dy,
                        float* dx) {
  const int64_t line = (int64_t)s->in_w * s->channels;
  for (int64_t row = first; row < last; ++row) {
    const int32_t h = (int32_t)(row % s->in_h);
    const float* image = dy + row / s->in_h * s->out_h * s->out_w * s->channels;
    memset(dx + row * line, 0, sizeof *dx * (size_t)line);
    int32_t p = tt_first_reader(s, h);
    for (;;) {
      const tt_readers readers = tt_next_readers(s, h, &p);
      if (readers.count == 0) break;
      add_readers(s, &readers, image, dx + row * line);
    }
  }
}

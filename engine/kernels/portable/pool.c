// Average and maximum over windows. Gradients are gathered: every place of dx sums up what the
// windows over it send there, so rows of dx can be computed apart.
#include "engine/kernels/portable/pool.h"

#include <string.h>

// Offset of the first element of pixel (0, 0) of the image that holds row `row`.
static int64_t image_of(int64_t row, int32_t out_h, int32_t h, int32_t w, int32_t channels) {
  return row / out_h * h * w * channels;
}

void tt_average_pool_f32(const tt_pool_shape* s, int64_t first, int64_t last, const float* x,
                         float* y) {
  y += first * s->out_w * s->channels;
  for (int64_t row = first; row < last; ++row) {
    const float* image = x + image_of(row, s->out_h, s->in_h, s->in_w, s->channels);
    const tt_span rows = tt_window_rows(s, (int32_t)(row % s->out_h));
    for (int32_t q = 0; q < s->out_w; ++q, y += s->channels) {
      const tt_span columns = tt_window_columns(s, q);
      const float weight = 1.0f / (float)tt_window_size(s, rows, columns);
      for (int32_t c = 0; c < s->channels; ++c) y[c] = 0.0f;
      for (int32_t h = rows.first; h < rows.last; ++h) {
        for (int32_t v = columns.first; v < columns.last; ++v) {
          const float* pixel = image + ((int64_t)h * s->in_w + v) * s->channels;
          for (int32_t c = 0; c < s->channels; ++c) y[c] += pixel[c];
        }
      }
      for (int32_t c = 0; c < s->channels; ++c) y[c] *= weight;
    }
  }
}

void tt_average_pool_grad_f32(const tt_pool_shape* s, int64_t first, int64_t last, const float* dy,
                              int32_t accumulate, float* dx) {
  dx += first * s->in_w * s->channels;
  for (int64_t row = first; row < last; ++row) {
    const float* image = dy + image_of(row, s->in_h, s->out_h, s->out_w, s->channels);
    const tt_span over = tt_windows_over_row(s, (int32_t)(row % s->in_h));
    for (int32_t v = 0; v < s->in_w; ++v, dx += s->channels) {
      const tt_span across = tt_windows_over_column(s, v);
      if (!accumulate) memset(dx, 0, sizeof *dx * (size_t)s->channels);
      for (int32_t p = over.first; p < over.last; ++p) {
        for (int32_t q = across.first; q < across.last; ++q) {
          const float* pixel = image + ((int64_t)p * s->out_w + q) * s->channels;
          const int32_t size = tt_window_size(s, tt_window_rows(s, p), tt_window_columns(s, q));
          const float weight = 1.0f / (float)size;
          for (int32_t c = 0; c < s->channels; ++c) dx[c] += pixel[c] * weight;
        }
      }
    }
  }
}

void tt_max_pool_f32(const tt_pool_shape* s, int64_t first, int64_t last, const float* x,
                     float* y) {
  y += first * s->out_w * s->channels;
  for (int64_t row = first; row < last; ++row) {
    const float* image = x + image_of(row, s->out_h, s->in_h, s->in_w, s->channels);
    const tt_span rows = tt_window_rows(s, (int32_t)(row % s->out_h));
    for (int32_t q = 0; q < s->out_w; ++q, y += s->channels) {
      const tt_span columns = tt_window_columns(s, q);
      const int64_t start = ((int64_t)rows.first * s->in_w + columns.first) * s->channels;
      memcpy(y, image + start, sizeof *y * (size_t)s->channels);
      for (int32_t h = rows.first; h < rows.last; ++h) {
        for (int32_t v = columns.first; v < columns.last; ++v) {
          const float* pixel = image + ((int64_t)h * s->in_w + v) * s->channels;
          for (int32_t c = 0; c < s->channels; ++c) y[c] = pixel[c] > y[c] ? pixel[c] : y[c];
        }
      }
    }
  }
}

// Of one channel; `x` is that of pixel (0, 0).
static int32_t argmax_of(const tt_pool_shape* s, const float* x, tt_span rows, tt_span columns) {
  int32_t best_h = rows.first, best_v = columns.first;
  float best = x[((int64_t)best_h * s->in_w + best_v) * s->channels];
  for (int32_t h = rows.first; h < rows.last; ++h) {
    for (int32_t v = columns.first; v < columns.last; ++v) {
      const float value = x[((int64_t)h * s->in_w + v) * s->channels];
      if (!(value > best)) continue;
      best = value;
      best_h = h;
      best_v = v;
    }
  }
  return (best_h - rows.start) * s->kernel_w + best_v - columns.start;
}

void tt_max_pool_argmax_f32(const tt_pool_shape* s, int64_t first, int64_t last, const float* x,
                            int32_t wide, void* argmax) {
  int64_t at = first * s->out_w * s->channels;
  for (int64_t row = first; row < last; ++row) {
    const float* image = x + image_of(row, s->out_h, s->in_h, s->in_w, s->channels);
    const tt_span rows = tt_window_rows(s, (int32_t)(row % s->out_h));
    for (int32_t q = 0; q < s->out_w; ++q) {
      const tt_span columns = tt_window_columns(s, q);
      for (int32_t c = 0; c < s->channels; ++c, ++at) {
        const int32_t number = argmax_of(s, image + c, rows, columns);
        if (wide) {
          ((int32_t*)argmax)[at] = number;
        } else {
          ((int8_t*)argmax)[at] = (int8_t)number;
        }
      }
    }
  }
}

void tt_max_pool_grad_f32(const tt_pool_shape* s, int64_t first, int64_t last, const float* dy,
                          const void* argmax, int32_t wide, float* dx) {
  const int8_t* narrow = argmax;
  const int32_t* full = argmax;
  dx += first * s->in_w * s->channels;
  for (int64_t row = first; row < last; ++row) {
    const int64_t image = image_of(row, s->in_h, s->out_h, s->out_w, s->channels);
    const int32_t h = (int32_t)(row % s->in_h);
    const tt_span over = tt_windows_over_row(s, h);
    for (int32_t v = 0; v < s->in_w; ++v, dx += s->channels) {
      const tt_span across = tt_windows_over_column(s, v);
      for (int32_t c = 0; c < s->channels; ++c) dx[c] = 0.0f;
      for (int32_t p = over.first; p < over.last; ++p) {
        for (int32_t q = across.first; q < across.last; ++q) {
          const int64_t at = image + ((int64_t)p * s->out_w + q) * s->channels;
          const int32_t here =
              (h - tt_window_rows(s, p).start) * s->kernel_w + v - tt_window_columns(s, q).start;
          for (int32_t c = 0; c < s->channels; ++c) {
            const int32_t number = wide ? full[at + c] : narrow[at + c];
            dx[c] += number == here ? dy[at + c] : 0.0f;
          }
        }
      }
    }
  }
}

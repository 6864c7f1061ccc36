// Elementwise kernels and the column sum.
#include "engine/kernels/portable/layer.h"

void tt_sum_rows_f32(const float* x, int64_t rows, int64_t cols, int64_t step, float* y) {
  for (int64_t j = 0; j < cols; ++j) y[j] = 0.0f;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) y[j] += x[i * step + j];
  }
}

void tt_clip_f32(const float* x, int64_t n, float low, float high, float* y) {
  for (int64_t i = 0; i < n; ++i) {
    const float v = x[i] < low ? low : x[i];
    y[i] = v > high ? high : v;
  }
}

void tt_clip_mask_f32(const float* y, int64_t n, float low, float high, uint8_t* mask) {
  for (int64_t byte = 0; byte < (n + 7) / 8; ++byte) {
    const int64_t count = n - byte * 8 < 8 ? n - byte * 8 : 8;
    unsigned bits = 0;
    for (int64_t i = 0; i < count; ++i) {
      const float v = y[byte * 8 + i];
      bits |= (unsigned)(low < v && v < high) << i;
    }
    mask[byte] = (uint8_t)bits;
  }
}

void tt_mask_apply_f32(const float* dy, const uint8_t* mask, int64_t n, float* dx) {
  for (int64_t i = 0; i < n; ++i) dx[i] = mask[i / 8] >> (i % 8) & 1 ? dy[i] : 0.0f;
}

void tt_clip_grad_f32(const float* dy, const float* y, int64_t n, float low, float high,
                      float* dx) {
  for (int64_t i = 0; i < n; ++i) dx[i] = low < y[i] && y[i] < high ? dy[i] : 0.0f;
}

void tt_add_f32(const float* x, const float* y, int64_t n, float* z) {
  for (int64_t i = 0; i < n; ++i) z[i] = x[i] + y[i];
}

void tt_add_layer_f32(const float* x, const float* y, int64_t n, const tt_epilogue* epilogue,
                      float* z) {
  for (int64_t i = 0; i < n; ++i) z[i] = tt_finish(epilogue, x[i] + y[i], i);
}

void tt_add_scaled_f32(const float* x, float factor, int64_t n, float* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += factor * x[i];
}

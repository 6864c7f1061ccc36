// Reductions of a line, softmax and layer norm.
#include <math.h>
#include <string.h>

#include "engine/kernels/portable/portable.h"

static float term_of(tt_reduction kind, float v) {
  return kind == TT_SUM ? v : kind == TT_SUM_SQUARES ? v * v : expf(v);
}

enum { kBlock = 64 };  // terms summed in float; longer sums would lose digits

static float sum_of(tt_reduction kind, const float* x, int64_t n, int64_t step, float shift) {
  double total = 0;
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t end = n - i < kBlock ? n : i + kBlock;
    float block = 0.0f;
    for (int64_t j = i; j < end; ++j) block += term_of(kind, x[j * step] - shift);
    total += (double)block;
  }
  return (float)total;
}

static float sum_of_products(const float* x, const float* y, int64_t n, int64_t step) {
  double total = 0;
  for (int64_t i = 0; i < n; i += kBlock) {
    const int64_t end = n - i < kBlock ? n : i + kBlock;
    float block = 0.0f;
    for (int64_t j = i; j < end; ++j) block += x[j * step] * y[j * step];
    total += (double)block;
  }
  return (float)total;
}

static float largest(const float* x, int64_t n, int64_t step) {
  float top = x[0];
  for (int64_t i = 1; i < n; ++i) top = x[i * step] > top ? x[i * step] : top;
  return top;
}

float tt_reduce_f32(tt_reduction kind, const float* x, int64_t n, float shift) {
  return kind == TT_MAX ? largest(x, n, 1) : sum_of(kind, x, n, 1, shift);
}

void tt_softmax_f32(const float* x, int64_t n, int64_t step, int32_t is_log, float* y) {
  const float top = largest(x, n, step);
  const float sum = sum_of(TT_SUM_EXP, x, n, step, top);
  const float log_sum = is_log ? logf(sum) : 0.0f;
  const float scale = 1.0f / sum;
  for (int64_t i = 0; i < n * step; i += step) {
    y[i] = is_log ? x[i] - top - log_sum : expf(x[i] - top) * scale;
  }
}

void tt_softmax_grad_f32(const float* dy, const float* y, int64_t n, int64_t step, int32_t is_log,
                         float* dx) {
  const float sum = is_log ? sum_of(TT_SUM, dy, n, step, 0.0f) : sum_of_products(dy, y, n, step);
  for (int64_t i = 0; i < n * step; i += step) {
    dx[i] = is_log ? dy[i] - expf(y[i]) * sum : y[i] * (dy[i] - sum);
  }
}

typedef struct {
  float mean, inverse_std;
} tt_moments;

static tt_moments moments_of(const float* x, int64_t n, float epsilon) {
  const float mean = sum_of(TT_SUM, x, n, 1, 0.0f) / (float)n;
  const float variance = sum_of(TT_SUM_SQUARES, x, n, 1, mean) / (float)n;
  const tt_moments m = {mean, 1.0f / sqrtf(variance + epsilon)};
  return m;
}

void tt_layer_norm_f32(const float* x, int64_t rows, int64_t n, const float* scale,
                       const float* bias, float epsilon, float* y) {
  for (int64_t r = 0; r < rows; ++r, x += n, y += n) {
    const tt_moments m = moments_of(x, n, epsilon);
    for (int64_t i = 0; i < n; ++i) y[i] = (x[i] - m.mean) * m.inverse_std * scale[i] + bias[i];
  }
}

void tt_layer_norm_grad_input_f32(const float* dy, const float* x, int64_t rows, int64_t n,
                                  const float* scale, float epsilon, float* dx) {
  for (int64_t r = 0; r < rows; ++r, dy += n, x += n, dx += n) {
    const tt_moments m = moments_of(x, n, epsilon);
    double sum = 0, dot = 0;
    for (int64_t i = 0; i < n; i += kBlock) {
      const int64_t end = n - i < kBlock ? n : i + kBlock;
      float block_sum = 0.0f, block_dot = 0.0f;
      for (int64_t j = i; j < end; ++j) {
        const float g = dy[j] * scale[j];
        block_sum += g;
        block_dot += g * ((x[j] - m.mean) * m.inverse_std);
      }
      sum += (double)block_sum;
      dot += (double)block_dot;
    }
    const float mean_g = (float)sum / (float)n, mean_gn = (float)dot / (float)n;
    for (int64_t i = 0; i < n; ++i) {
      const float normal = (x[i] - m.mean) * m.inverse_std;
      dx[i] = m.inverse_std * (dy[i] * scale[i] - mean_g - normal * mean_gn);
    }
  }
}

void tt_layer_norm_grad_scale_f32(const float* dy, const float* x, int64_t rows, int64_t n,
                                  float epsilon, float* dscale) {
  memset(dscale, 0, sizeof *dscale * (size_t)n);
  for (int64_t r = 0; r < rows; ++r, dy += n, x += n) {
    const tt_moments m = moments_of(x, n, epsilon);
    for (int64_t i = 0; i < n; ++i) dscale[i] += dy[i] * ((x[i] - m.mean) * m.inverse_std);
  }
}

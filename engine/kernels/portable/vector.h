// The two inner loops of linear layers: both vectorise without reordering what the source says.
#ifndef TINYTL_ENGINE_KERNELS_PORTABLE_VECTOR_H_
#define TINYTL_ENGINE_KERNELS_PORTABLE_VECTOR_H_

#include <stdint.h>

// y[i] += a * x[i]
static inline void tt_axpy(int64_t n, float a, const float* restrict x, float* restrict y) {
  for (int64_t i = 0; i < n; ++i) y[i] += a * x[i];
}

// Sum of x[i] * y[i], in eight interleaved partial sums: the fixed order that vector units can
// keep.
static inline float tt_dot(int64_t n, const float* restrict x, const float* restrict y) {
  float lane[8] = {0, 0, 0, 0, 0, 0, 0, 0};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (int j = 0; j < 8; ++j) lane[j] += x[i + j] * y[i + j];
  }
  for (int j = 0; i < n; ++i, ++j) lane[j] += x[i] * y[i];
  for (int j = 0; j < 4; ++j) lane[j] += lane[j + 4];
  return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

#endif  // TINYTL_ENGINE_KERNELS_PORTABLE_VECTOR_H_

// c = a . b + bias, or c += a . b
#include "engine/kernels/portable/portable.h"
#include "engine/kernels/portable/vector.h"

// Rows of b that stay in the first cache while all rows of a pass over them.
enum { kBlock = 64 };

static void start_rows(const tt_gemm* g) {
  for (int32_t i = 0; i < g->m; ++i) {
    float* c = g->c + i * g->c_row;
    for (int32_t j = 0; j < g->n; ++j) c[j] = g->bias ? g->bias[j] : 0.0f;
  }
}

// b's columns are contiguous in k: dot products.
static void gemm_dots(const tt_gemm* g) {
  for (int32_t i = 0; i < g->m; ++i) {
    const float* a = g->a + i * g->a_row;
    float* c = g->c + i * g->c_row;
    for (int32_t j = 0; j < g->n; ++j) c[j] += tt_dot(g->k, a, g->b + j * g->b_col);
  }
}

// b's rows are contiguous: each element of a scales a row of b.
static void gemm_rows(const tt_gemm* g) {
  for (int32_t block = 0; block < g->k; block += kBlock) {
    const int32_t end = g->k - block < kBlock ? g->k : block + kBlock;
    for (int32_t i = 0; i < g->m; ++i) {
      for (int32_t k = block; k < end; ++k) {
        tt_axpy(g->n, g->a[i * g->a_row + k * g->a_col], g->b + k * g->b_row, g->c + i * g->c_row);
      }
    }
  }
}

static void gemm_any(const tt_gemm* g) {
  for (int32_t i = 0; i < g->m; ++i) {
    for (int32_t j = 0; j < g->n; ++j) {
      float sum = g->c[i * g->c_row + j];
      for (int32_t k = 0; k < g->k; ++k) {
        sum += g->a[i * g->a_row + k * g->a_col] * g->b[k * g->b_row + j * g->b_col];
      }
      g->c[i * g->c_row + j] = sum;
    }
  }
}

void tt_gemm_f32(const tt_gemm* g, void* scratch) {
  (void)scratch;
  if (!g->accumulate) start_rows(g);
  if (g->b_col == 1) {
    gemm_rows(g);
  } else if (g->b_row == 1 && g->a_col == 1) {
    gemm_dots(g);
  } else {
    gemm_any(g);
  }
}

// c = a . b + bias, or c += a . b + bias: a sum is complete before it meets c.
#include "engine/kernels/portable/portable.h"
#include "engine/kernels/portable/vector.h"

// Columns of c that are summed at a time.
enum { kBlock = 128 };

static float start(const tt_gemm* g, int32_t j) { return g->bias ? g->bias[j] : 0.0f; }

static void finish(const tt_gemm* g, float sum, float* c) { *c = g->accumulate ? *c + sum : sum; }

// b's columns are contiguous in k: dot products.
static void gemm_dots(const tt_gemm* g) {
  for (int32_t i = 0; i < g->m; ++i) {
    const float* a = g->a + i * g->a_row;
    for (int32_t j = 0; j < g->n; ++j) {
      finish(g, start(g, j) + tt_dot(g->k, a, g->b + j * g->b_col), g->c + i * g->c_row + j);
    }
  }
}

// b's rows are contiguous: each element of a scales a row of b.
static void gemm_rows(const tt_gemm* g) {
  float sum[kBlock];
  for (int32_t block = 0; block < g->n; block += kBlock) {
    const int32_t cols = g->n - block < kBlock ? g->n - block : kBlock;
    for (int32_t i = 0; i < g->m; ++i) {
      for (int32_t j = 0; j < cols; ++j) sum[j] = start(g, block + j);
      for (int32_t k = 0; k < g->k; ++k) {
        tt_axpy(cols, g->a[i * g->a_row + k * g->a_col], g->b + k * g->b_row + block, sum);
      }
      for (int32_t j = 0; j < cols; ++j) finish(g, sum[j], g->c + i * g->c_row + block + j);
    }
  }
}

static void gemm_any(const tt_gemm* g) {
  for (int32_t i = 0; i < g->m; ++i) {
    for (int32_t j = 0; j < g->n; ++j) {
      float sum = start(g, j);
      for (int32_t k = 0; k < g->k; ++k) {
        sum += g->a[i * g->a_row + k * g->a_col] * g->b[k * g->b_row + j * g->b_col];
      }
      finish(g, sum, g->c + i * g->c_row + j);
    }
  }
}

void tt_gemm_f32(const tt_gemm* g, void* scratch) {
  (void)scratch;
  if (g->b_col == 1) {
    gemm_rows(g);
  } else if (g->b_row == 1 && g->a_col == 1) {
    gemm_dots(g);
  } else {
    gemm_any(g);
  }
}

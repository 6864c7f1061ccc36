// c = epilogue(factor * a . b): a sum is complete before it meets bias and c.
#include "engine/kernels/portable/layer.h"
#include "engine/kernels/portable/vector.h"

// Columns of c that are summed at a time.
enum { kBlock = 128 };

static void finish(const tt_gemm* g, float sum, int32_t i, int32_t j) {
  const int64_t at = i * g->c_row + j;
  sum *= g->factor;
  if (g->epilogue.bias) sum += g->epilogue.bias[j];
  if (g->accumulate) sum += g->c[at];
  g->c[at] = tt_finish(&g->epilogue, sum, at);
}

// b's columns are contiguous in k: dot products.
static void gemm_dots(const tt_gemm* g) {
  for (int32_t i = 0; i < g->m; ++i) {
    const float* a = g->a + i * g->a_row;
    for (int32_t j = 0; j < g->n; ++j) {
      finish(g, tt_dot(g->k, a, g->b.f32 + j * g->b_col), i, j);
    }
  }
}

// b's rows are contiguous: each element of a scales a row of b.
static void gemm_rows(const tt_gemm* g) {
  float sum[kBlock];
  for (int32_t block = 0; block < g->n; block += kBlock) {
    const int32_t cols = g->n - block < kBlock ? g->n - block : kBlock;
    for (int32_t i = 0; i < g->m; ++i) {
      for (int32_t j = 0; j < cols; ++j) sum[j] = 0.0f;
      for (int32_t k = 0; k < g->k; ++k) {
        tt_axpy(cols, g->a[i * g->a_row + k * g->a_col], g->b.f32 + k * g->b_row + block, sum);
      }
      for (int32_t j = 0; j < cols; ++j) finish(g, sum[j], i, block + j);
    }
  }
}

static void gemm_any(const tt_gemm* g) {
  for (int32_t i = 0; i < g->m; ++i) {
    for (int32_t j = 0; j < g->n; ++j) {
      float sum = 0.0f;
      for (int32_t k = 0; k < g->k; ++k) {
        const int64_t at = k * g->b_row + j * g->b_col;
        sum += g->a[i * g->a_row + k * g->a_col] * tt_weight(&g->b, at, g->scale_by_row ? k : j);
      }
      finish(g, sum, i, j);
    }
  }
}

void tt_gemm_f32(const tt_gemm* g, void* scratch) {
  (void)scratch;
  if (g->b.f32 && g->b_col == 1) {
    gemm_rows(g);
  } else if (g->b.f32 && g->b_row == 1 && g->a_col == 1) {
    gemm_dots(g);
  } else {
    gemm_any(g);
  }
}

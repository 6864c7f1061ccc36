// Matrix products of layers, in parts.
#pragma once

#include "engine/ops/op_helpers.h"

namespace tinytl {

// y[rows, n] = a[rows, k] . w[k, n], or w[n, k] with `transposed`.
inline tt_gemm layer_product(int64_t rows, int64_t k, int64_t n, bool transposed) {
  tt_gemm g{};
  g.m = static_cast<int32_t>(rows);
  g.n = static_cast<int32_t>(n);
  g.k = static_cast<int32_t>(k);
  g.a_row = k;
  g.a_col = 1;
  g.b_row = transposed ? 1 : n;
  g.b_col = transposed ? k : 1;
  g.scale_by_row = transposed ? 1 : 0;
  g.factor = 1.0f;
  g.c_row = n;
  return g;
}

// dw[k, n] = a[rows, k]^T . dy[rows, n]
inline tt_gemm weight_product(int64_t rows, int64_t k, int64_t n) {
  tt_gemm g{};
  g.m = static_cast<int32_t>(k);
  g.n = static_cast<int32_t>(n);
  g.k = static_cast<int32_t>(rows);
  g.a_row = 1;
  g.a_col = k;
  g.b_row = n;
  g.b_col = 1;
  g.factor = 1.0f;
  g.c_row = n;
  return g;
}

// Scratch of a product with weights of that type.
inline size_t product_scratch(tt_gemm g, const TensorType& w, const tt_kernels& kernels) {
  static constexpr float kF32 = 0;
  static constexpr int8_t kQ8 = 0;
  if (w.dtype == DType::kQ8) {
    g.b.q8 = &kQ8;
  } else {
    g.b.f32 = &kF32;
  }
  return kernels.gemm_scratch_bytes(&g);
}

// The block of c that one part computes, along the longer side.
inline tt_gemm part_of(const KernelArgs& t, tt_gemm g) {
  // Columns in pairs of the longest vectors: a part then needs no more scratch than the whole.
  constexpr int64_t kRowGrain = 24, kColumnGrain = 32;
  if (g.m >= g.n) {
    const Share rows = t.share(g.m, kRowGrain);
    g.m = static_cast<int32_t>(rows.size());
    g.a += rows.begin * g.a_row;
    g.c += rows.begin * g.c_row;
    g.epilogue = shifted(g.epilogue, rows.begin * g.c_row);
  } else {
    const Share columns = t.share(g.n, kColumnGrain);
    const int64_t from = columns.begin * g.b_col;
    g.n = static_cast<int32_t>(columns.size());
    if (g.b.f32 != nullptr) g.b.f32 += from;
    if (g.b.q8 != nullptr) g.b.q8 += from;
    if (g.b.q8 != nullptr && g.scale_by_row == 0) g.b.scale += columns.begin;
    g.c += columns.begin;
    g.epilogue = shifted(g.epilogue, columns.begin, columns.begin);
  }
  return g;
}

inline void run_product(const KernelArgs& t, const tt_gemm& g) {
  const tt_gemm part = part_of(t, g);
  t.kernels().gemm(&part, t.scratch());
}

}  // namespace tinytl

// The one matrix product that every linear kernel runs on. Nothing of A is packed; B is read in
// place where its rows are contiguous and fill whole tiles, and copied block by block otherwise.
//
// Each element of C is the sum over k in ascending order, block after block, whatever m is: a batch
// of 8 and 8 batches of 1 give the same bits.
#include <algorithm>

#include "engine/kernels/simd/tile-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_PRODUCT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_PRODUCT_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_PRODUCT_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_PRODUCT_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

// c += a . b, where a row index is a pair (outer, m) and a summation index a triple (k2, k1, k0):
// the pixels, and the taps and channels, of a convolution. Strides are in elements.
struct Product {
  int64_t m_outer = 1, m = 0, n = 0;
  int64_t k2 = 1, k1 = 1, k0 = 0;
  const float* a = nullptr;
  int64_t a_outer = 0, a_row = 0, a_k2 = 0, a_k1 = 0, a_k0 = 0;
  const float* b = nullptr;
  int64_t b_k2 = 0, b_k1 = 0, b_k0 = 0, b_col = 1;
  const float* bias = nullptr;
  float* c = nullptr;
  int64_t c_outer = 0, c_row = 0;
  bool accumulate = false;
};

constexpr int64_t kBlockDepth = 256;  // k of a block: a tile's strip of B stays in L1
constexpr int64_t kBlockRows = 192;   // m of a block: its part of A stays in L2
constexpr int64_t kBlockCols = 256;   // n of a block, where B is read in place
constexpr int64_t kPackedCols = 128;  // n of a block, where B is copied
constexpr int64_t kMaxSegments = 64;
constexpr int64_t kAlign = 64;

// How the summation index is cut: `segments` runs of `length` elements of k0 make one block.
struct DepthBlocks {
  int64_t segments, length;
  int64_t depth() const { return segments * length; }
};

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
// The size of equal parts of `total`, none above `most`.
inline int64_t even_part(int64_t total, int64_t most) {
  return total == 0 ? 0 : ceil_div(total, ceil_div(total, most));
}

inline DepthBlocks depth_blocks(int64_t segments, int64_t k0) {
  if (segments == 0 || k0 == 0) return {0, 0};
  if (k0 > kBlockDepth) return {1, even_part(k0, kBlockDepth)};
  return {even_part(segments, std::min(kMaxSegments, kBlockDepth / k0)), k0};
}

inline int64_t block_cols(int64_t n, bool in_place) {
  return round_up(even_part(n, in_place ? kBlockCols : kPackedCols), kTileCols);
}

// Bytes multiply() needs for copies of B.
inline size_t product_scratch_bytes(int64_t segments, int64_t k0, int64_t n, int64_t b_col) {
  const bool in_place = b_col == 1;
  if (in_place && n % kTileCols == 0) return 0;
  const int64_t cols = in_place ? kTileCols : block_cols(n, false);
  const int64_t depth = depth_blocks(segments, k0).depth();
  return static_cast<size_t>(depth * cols * static_cast<int64_t>(sizeof(float)) + kAlign);
}

inline float* align_scratch(void* scratch) {
  const uintptr_t p = reinterpret_cast<uintptr_t>(scratch);
  return reinterpret_cast<float*>((p + kAlign - 1) / kAlign * kAlign);
}

// dst[k][kTileCols] = b[k * row + j * col], columns beyond `cols` zero.
inline void pack_strip(const float* b, int64_t row, int64_t col, int64_t depth, int64_t cols,
                       float* dst) {
  if (cols < kTileCols) std::fill_n(dst, depth * kTileCols, 0.0f);
  if (row != 1) {
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t j = 0; j < cols; ++j) dst[k * kTileCols + j] = b[k * row + j * col];
    }
    return;
  }
  // Transposes 4 x 4 at a time in 128-bit vectors, which every instruction set has.
  const hn::Full128<float> d4;
  const hn::Repartition<double, decltype(d4)> d2;
  const int64_t even_cols = cols / 4 * 4, even_depth = depth / 4 * 4;
  for (int64_t k = 0; k < even_depth; k += 4) {
    for (int64_t j = 0; j < even_cols; j += 4) {
      const float* src = b + k + j * col;
      const auto r0 = hn::LoadU(d4, src), r1 = hn::LoadU(d4, src + col);
      const auto r2 = hn::LoadU(d4, src + 2 * col), r3 = hn::LoadU(d4, src + 3 * col);
      const auto low01 = hn::BitCast(d2, hn::InterleaveLower(d4, r0, r1));
      const auto low23 = hn::BitCast(d2, hn::InterleaveLower(d4, r2, r3));
      const auto high01 = hn::BitCast(d2, hn::InterleaveUpper(d4, r0, r1));
      const auto high23 = hn::BitCast(d2, hn::InterleaveUpper(d4, r2, r3));
      float* out = dst + k * kTileCols + j;
      hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(d2, low01, low23)), d4, out);
      hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(d2, low01, low23)), d4, out + kTileCols);
      hn::StoreU(hn::BitCast(d4, hn::InterleaveLower(d2, high01, high23)), d4, out + 2 * kTileCols);
      hn::StoreU(hn::BitCast(d4, hn::InterleaveUpper(d2, high01, high23)), d4, out + 3 * kTileCols);
    }
    for (int64_t j = even_cols; j < cols; ++j) {
      for (int64_t i = 0; i < 4; ++i) dst[(k + i) * kTileCols + j] = b[k + i + j * col];
    }
  }
  for (int64_t k = even_depth; k < depth; ++k) {
    for (int64_t j = 0; j < cols; ++j) dst[k * kTileCols + j] = b[k + j * col];
  }
}

// One block of the summation index and of the columns.
class BlockProduct {
 public:
  BlockProduct(const Product& p, float* packed) : p_(p), packed_(packed) {}

  // Runs `length` elements of k0 from `k0` on, of `count` segments from `first` on.
  void run(int64_t first, int64_t count, int64_t k0, int64_t length, int64_t col, int64_t cols,
           bool is_first) {
    for (int64_t s = 0; s < count; ++s) {
      const int64_t k2 = (first + s) / p_.k1, k1 = (first + s) % p_.k1;
      segments_[s] = {k2 * p_.a_k2 + k1 * p_.a_k1 + k0 * p_.a_k0,
                      k2 * p_.b_k2 + k1 * p_.b_k1 + k0 * p_.b_k0};
    }
    tile_.a_row = p_.a_row;
    tile_.a_k0 = p_.a_k0;
    tile_.segments = segments_;
    tile_.segment_count = count;
    tile_.length = length;
    tile_.c_row = p_.c_row;
    tile_.accumulate = p_.accumulate || !is_first;
    has_bias_ = p_.bias && is_first;
    pack(col, cols);
    const int64_t rows = p_.m_outer > 1 ? p_.m : even_part(p_.m, kBlockRows);
    for (int64_t row = 0; row < p_.m; row += rows) {
      for (int64_t j = 0; j < cols; j += kTileCols) {
        run_strip(row, std::min(rows, p_.m - row), col, j, std::min(kTileCols, cols - j));
      }
    }
  }

 private:
  bool is_packed(int64_t strip_cols) const { return p_.b_col != 1 || strip_cols < kTileCols; }

  int64_t strip_elements() const { return tile_.segment_count * tile_.length * kTileCols; }

  // In place, only the last strip can be partial: it is packed as if it were the first.
  float* strip(int64_t j) const {
    return packed_ + (p_.b_col == 1 ? 0 : j / kTileCols * strip_elements());
  }

  void pack(int64_t col, int64_t cols) {
    for (int64_t j = 0; j < cols; j += kTileCols) {
      const int64_t width = std::min(kTileCols, cols - j);
      if (!is_packed(width)) continue;
      float* dst = strip(j);
      for (int64_t s = 0; s < tile_.segment_count; ++s, dst += tile_.length * kTileCols) {
        pack_strip(p_.b + segments_[s].b + (col + j) * p_.b_col, p_.b_k0, p_.b_col, tile_.length,
                   width, dst);
      }
    }
  }

  void run_strip(int64_t row, int64_t rows, int64_t col, int64_t j, int64_t width) {
    Tile t = tile_;
    t.b_packed = is_packed(width);
    t.b = t.b_packed ? strip(j) : p_.b + col + j;
    t.b_k0 = t.b_packed ? kTileCols : p_.b_k0;
    t.bias = has_bias_ ? p_.bias + col + j : nullptr;
    t.last_lanes = static_cast<size_t>((width - 1) % kLanes + 1);
    for (int64_t outer = 0; outer < p_.m_outer; ++outer) {
      for (int64_t i = 0; i < rows;) {
        const int64_t left = rows - i;
        // The last two tiles share their rows evenly: a thin tile is a slow one.
        const int64_t height = left >= 2 * kTileRows ? kTileRows
                               : left > kTileRows    ? ceil_div(left, 2)
                                                     : left;
        t.a = p_.a + outer * p_.a_outer + (row + i) * p_.a_row;
        t.c = p_.c + outer * p_.c_outer + (row + i) * p_.c_row + col + j;
        tile_fn(height, width)(t);
        i += height;
      }
    }
  }

  const Product& p_;
  float* packed_;
  Segment segments_[kMaxSegments];
  Tile tile_{};
  bool has_bias_ = false;
};

inline void multiply(const Product& p, void* scratch) {
  if (p.m_outer == 0 || p.m == 0 || p.n == 0) return;
  const int64_t segments = p.k0 == 0 ? 0 : p.k2 * p.k1;
  const DepthBlocks blocks = depth_blocks(segments, p.k0);
  const int64_t cols = block_cols(p.n, p.b_col == 1);
  BlockProduct block(p, align_scratch(scratch));
  for (int64_t col = 0; col < p.n; col += cols) {
    const int64_t width = std::min(cols, p.n - col);
    if (segments == 0) block.run(0, 0, 0, 0, col, width, true);
    for (int64_t s = 0; s < segments; s += blocks.segments) {
      const int64_t count = std::min(blocks.segments, segments - s);
      for (int64_t k = 0; k < p.k0; k += blocks.length) {
        block.run(s, count, k, std::min(blocks.length, p.k0 - k), col, width, s == 0 && k == 0);
      }
    }
  }
}

// What the products below leave to do.
inline void finish(const tt_epilogue& e, int64_t rows, int64_t cols, int64_t step, float* y) {
  if (!e.clip && !e.inside && !e.keep && !e.keep_within) return;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j)
      y[i * step + j] = tt_finish(&e, y[i * step + j], i * step + j);
  }
}

inline size_t gemm_scratch_bytes(const tt_gemm* g) {
  return product_scratch_bytes(1, g->k, g->n, g->b_col);
}

inline void gemm(const tt_gemm* g, void* scratch) {
  if (g->b.f32 == nullptr || g->factor != 1.0f) return tt_gemm_f32(g, scratch);
  multiply({.m = g->m,
            .n = g->n,
            .k0 = g->k,
            .a = g->a,
            .a_row = g->a_row,
            .a_k0 = g->a_col,
            .b = g->b.f32,
            .b_k0 = g->b_row,
            .b_col = g->b_col,
            .bias = g->epilogue.bias,
            .c = g->c,
            .c_row = g->c_row,
            .accumulate = g->accumulate != 0},
           scratch);
  finish(g->epilogue, g->m, g->n, g->c_row, g->c);
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

// The one matrix product that every linear kernel runs on. Nothing of A is packed; B is read in
// place where its rows are contiguous, and copied strip by strip otherwise.
//
// Each element of C is the sum over k in ascending order, block after block, whatever m is and
// whatever tile it falls into: a batch of 8 and 8 batches of 1 give the same bits.
#include "engine/kernels/simd/finish-inl.h"
#include "engine/kernels/simd/pack-inl.h"
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

// c += factor * a . b, where a row index is a pair (outer, m) and a summation index a triple
// (k2, k1, k0): the pixels, and the taps and channels, of a convolution. Strides are in elements.
struct Product {
  int64_t m_outer = 1, m = 0, n = 0;
  int64_t k2 = 1, k1 = 1, k0 = 0;
  const float* a = nullptr;
  int64_t a_outer = 0, a_row = 0, a_k2 = 0, a_k1 = 0, a_k0 = 0;
  tt_weights b = {};
  int64_t b_k2 = 0, b_k1 = 0, b_k0 = 0, b_col = 1;
  bool scale_by_row = false;  // b.scale belongs to k0
  float factor = 1.0f;
  float* c = nullptr;
  int64_t c_outer = 0, c_row = 0;
  bool accumulate = false;
  tt_epilogue end = {};
  const float* result = nullptr;  // element 0 of the masks of `end`
};

constexpr int64_t kBlockDepth = 256;  // k of a block: a tile's strip of B stays in L1
constexpr int64_t kBlockRows = 196;   // m of a block: its part of A stays in L2
constexpr int64_t kPackedRows = 392;  // the same where B is copied for each
constexpr int64_t kMaxSegments = 64;
constexpr int64_t kAlign = 64;

// How the summation index is cut: `segments` runs of `length` elements of k0 make one block.
struct DepthBlocks {
  int64_t segments, length;
  int64_t depth() const { return segments * length; }
};

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
// The size of equal parts of `total`, none above `most`.
inline int64_t even_part(int64_t total, int64_t most) {
  return total == 0 ? 0 : ceil_div(total, ceil_div(total, most));
}

inline DepthBlocks depth_blocks(int64_t segments, int64_t k0) {
  if (segments == 0 || k0 == 0) return {0, 0};
  if (k0 > kBlockDepth) return {1, even_part(k0, kBlockDepth)};
  return {even_part(segments, std::min(kMaxSegments, kBlockDepth / k0)), k0};
}

// How B is read.
struct Reading {
  explicit Reading(const Product& p)
      : q8(p.b.f32 == nullptr && p.b.q8 != nullptr),
        in_place(p.b_col == 1 && !(q8 && p.scale_by_row)),
        part_in_place(in_place && (q8 ? kReadsPart<int8_t> : kReadsPart<float>)),
        full_vecs((in_place && !part_in_place ? p.n : p.n + kLanes - 1) / kLanes) {}

  // Vectors of the strip that starts at column j: pairs, and three for the last of an odd number.
  // Parts of vectors that must be copied make a strip of their own.
  int64_t strip_vecs(int64_t j) const {
    const int64_t left = full_vecs - j / kLanes;
    return left <= 0 ? 1 : left == kMaxVecs || left == 1 ? left : 2;
  }

  size_t scratch_bytes(const Product& p) const {
    if (in_place && (part_in_place || p.n % kLanes == 0)) return 0;
    // The widest strip is the last one.
    const int64_t vecs = ceil_div(p.n, kLanes);
    const int64_t copied = in_place || vecs == 1 ? 1 : vecs % 2 == 1 ? kMaxVecs : 2;
    const int64_t depth = depth_blocks(p.k2 * p.k1, p.k0).depth();
    return static_cast<size_t>(depth * copied * kLanes * int64_t{sizeof(float)} + kAlign);
  }

  bool q8, in_place, part_in_place;
  int64_t full_vecs;
};

// Bytes multiply() needs for copies of B. Depends on the lengths but m, strides and kind of b only.
inline size_t product_scratch_bytes(const Product& p) { return Reading(p).scratch_bytes(p); }

inline float* align_scratch(void* scratch) {
  const uintptr_t p = reinterpret_cast<uintptr_t>(scratch);
  return reinterpret_cast<float*>((p + kAlign - 1) / kAlign * kAlign);
}

// One block of rows and of the summation index.
class BlockProduct {
 public:
  BlockProduct(const Product& p, float* packed) : p_(p), reading_(p), packed_(packed) {
    tile_.a_row = p.a_row;
    tile_.a_k0 = p.a_k0;
    tile_.segments = segments_;
    tile_.factor = p.factor;
    tile_.scaled = p.factor != 1.0f || (reading_.q8 && !p.scale_by_row);
    tile_.c_row = p.c_row;
  }

  // Sums up `length` elements of k0 from `k0` on, of `count` segments from `first` on.
  void set_depth(int64_t first, int64_t count, int64_t k0, int64_t length, bool is_first,
                 bool is_last) {
    for (int64_t s = 0; s < count; ++s) {
      const int64_t k2 = (first + s) / p_.k1, k1 = (first + s) % p_.k1;
      segments_[s] = {k2 * p_.a_k2 + k1 * p_.a_k1 + k0 * p_.a_k0,
                      k2 * p_.b_k2 + k1 * p_.b_k1 + k0 * p_.b_k0};
    }
    k0_ = k0;
    tile_.segment_count = count;
    tile_.length = length;
    tile_.accumulate = p_.accumulate || !is_first;
    has_bias_ = p_.end.bias && is_first;
    ends_ = is_last && (p_.end.clip || p_.end.inside || p_.end.keep || p_.end.keep_within);
  }

  void run(int64_t row, int64_t rows) {
    const bool one_row = reading_.in_place && p_.m_outer * p_.m == 1;
    for (int64_t j = 0; j < p_.n;) {
      const bool wide = one_row && p_.n - j >= kWideVecs * kLanes;
      const int64_t vecs = wide ? kWideVecs : reading_.strip_vecs(j);
      const int64_t cols = std::min(vecs * kLanes, p_.n - j);
      run_strip(row, rows, j, vecs, cols);
      j += cols;
    }
  }

 private:
  void run_strip(int64_t row, int64_t rows, int64_t j, int64_t vecs, int64_t cols) {
    const bool partial = cols < vecs * kLanes;
    const bool packed = !reading_.in_place || (partial && !reading_.part_in_place);
    const bool bytes = reading_.q8 && !packed;
    Tile t = tile_;
    t.b_packed = packed;
    if (packed) {
      pack(j, cols, vecs * kLanes);
      t.b = packed_;
      t.b_k0 = vecs * kLanes;
    } else {
      t.b = bytes ? static_cast<const void*>(p_.b.q8 + j) : p_.b.f32 + j;
      t.b_k0 = p_.b_k0;
    }
    t.scale = reading_.q8 && !p_.scale_by_row ? p_.b.scale + j : nullptr;
    t.bias = has_bias_ ? p_.end.bias + j : nullptr;
    t.last_lanes = static_cast<size_t>((cols - 1) % kLanes + 1);
    const int64_t most = vecs == kWideVecs ? 1 : tile_rows(vecs);
    for (int64_t outer = 0; outer < p_.m_outer; ++outer) {
      int64_t tiles = ceil_div(rows, most);
      // Tiles share the rows evenly: a thin tile is a slow one.
      for (int64_t i = 0; tiles > 0; --tiles) {
        const int64_t height = ceil_div(rows - i, tiles);
        t.a = p_.a + outer * p_.a_outer + (row + i) * p_.a_row;
        t.c = p_.c + outer * p_.c_outer + (row + i) * p_.c_row + j;
        const TileFn compute =
            bytes ? tile_fn<int8_t>(height, vecs, partial) : tile_fn<float>(height, vecs, partial);
        compute(t);
        if (ends_) finish_rows(t, height, vecs, cols);
        i += height;
      }
    }
  }

  void finish_rows(const Tile& t, int64_t rows, int64_t vecs, int64_t cols) const {
    const int64_t at = t.c - p_.result;
    if (vecs == 2 && t.last_lanes == kLanes) {
      return finish_tile<2, false>(p_.end, rows, t.last_lanes, t.c_row, t.c, at);
    }
    if (vecs == kMaxVecs && t.last_lanes == kLanes) {
      return finish_tile<kMaxVecs, false>(p_.end, rows, t.last_lanes, t.c_row, t.c, at);
    }
    finish_block(p_.end, rows, cols, t.c_row, t.c, at);
  }

  void pack(int64_t j, int64_t cols, int64_t width) {
    const float* scale = reading_.q8 && p_.scale_by_row ? p_.b.scale + k0_ : nullptr;
    float* dst = packed_;
    for (int64_t s = 0; s < tile_.segment_count; ++s, dst += tile_.length * width) {
      const int64_t from = segments_[s].b + j * p_.b_col;
      if (reading_.q8) {
        pack_strip<int8_t>({p_.b.q8 + from, p_.b_k0, p_.b_col, tile_.length, cols, scale}, width,
                           dst);
      } else {
        pack_strip<float>({p_.b.f32 + from, p_.b_k0, p_.b_col, tile_.length, cols, scale}, width,
                          dst);
      }
    }
  }

  const Product& p_;
  const Reading reading_;
  float* packed_;
  Segment segments_[kMaxSegments];
  Tile tile_{};
  int64_t k0_ = 0;
  bool has_bias_ = false, ends_ = false;
};

inline void multiply(const Product& p, void* scratch) {
  if (p.m_outer == 0 || p.m == 0 || p.n == 0) return;
  const int64_t segments = p.k0 == 0 ? 0 : p.k2 * p.k1;
  const DepthBlocks blocks = depth_blocks(segments, p.k0);
  BlockProduct block(p, align_scratch(scratch));
  const int64_t most = Reading(p).in_place ? kBlockRows : kPackedRows;
  const int64_t rows = p.m_outer > 1 ? p.m : even_part(p.m, most);
  for (int64_t row = 0; row < p.m; row += rows) {
    const int64_t height = std::min(rows, p.m - row);
    if (segments == 0) {
      block.set_depth(0, 0, 0, 0, true, true);
      block.run(row, height);
    }
    for (int64_t s = 0; s < segments; s += blocks.segments) {
      const int64_t count = std::min(blocks.segments, segments - s);
      for (int64_t k = 0; k < p.k0; k += blocks.length) {
        const int64_t length = std::min(blocks.length, p.k0 - k);
        block.set_depth(s, count, k, length, s == 0 && k == 0,
                        s + count == segments && k + length == p.k0);
        block.run(row, height);
      }
    }
  }
}

inline Product product_of(const tt_gemm& g) {
  return {.m = g.m,
          .n = g.n,
          .k0 = g.k,
          .a = g.a,
          .a_row = g.a_row,
          .a_k0 = g.a_col,
          .b = g.b,
          .b_k0 = g.b_row,
          .b_col = g.b_col,
          .scale_by_row = g.scale_by_row != 0,
          .factor = g.factor,
          .c = g.c,
          .c_row = g.c_row,
          .accumulate = g.accumulate != 0,
          .end = g.epilogue,
          .result = g.c};
}

inline size_t gemm_scratch_bytes(const tt_gemm* g) { return product_scratch_bytes(product_of(*g)); }

inline void gemm(const tt_gemm* g, void* scratch) { multiply(product_of(*g), scratch); }

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

// Elementwise kernels, optimizers and the column sum. Multiplications and additions are not fused,
// so every result but the column sum's has the bits of the portable kernel.
#include "engine/kernels/simd/vector-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_ELEMENTWISE_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_ELEMENTWISE_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_ELEMENTWISE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

// fn(offset, load, store) for whole vectors and then for the rest.
struct WholeVector {
  static constexpr bool kPartial = false;
  size_t size() const { return kLanes; }
  HWY_INLINE V get(const float* p) const { return load(p); }
  HWY_INLINE void put(V v, float* p) const { store(v, p); }
};

struct FirstLanes {
  static constexpr bool kPartial = true;
  size_t lanes;
  size_t size() const { return lanes; }
  HWY_INLINE V get(const float* p) const { return load_first(p, lanes); }
  HWY_INLINE void put(V v, float* p) const { store_first(v, p, lanes); }
};

template <class F>
HWY_INLINE void for_vectors(int64_t n, F&& fn) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) fn(i, WholeVector{});
  if (i < n) fn(i, FirstLanes{static_cast<size_t>(n - i)});
}

// NaN passes: a bad loss must show. With a NaN, x86 returns the second argument, Arm the NaN.
HWY_INLINE V clamp(V x, V low, V high) {
  if constexpr (HWY_TARGET == HWY_NEON) {  // its minimum of a number and NaN is the number
    const V raised = hn::IfThenElse(hn::Lt(x, low), low, x);
    return hn::IfThenElse(hn::Gt(raised, high), high, raised);
  }
  return hn::Min(high, hn::Max(low, x));
}

HWY_INLINE hn::Mask<D> inside(V y, V low, V high) {
  return hn::And(hn::Lt(low, y), hn::Lt(y, high));
}

// Highway may store up to 8 bytes at a time, so the bits of a vector go through a word of our own.
HWY_INLINE uint64_t mask_bits(hn::Mask<D> mask) {
  uint8_t bytes[8] = {};
  hn::StoreMaskBits(kD, mask, bytes);
  uint64_t bits;
  std::memcpy(&bits, bytes, sizeof bits);
  return bits;
}

HWY_INLINE hn::Mask<D> mask_from(uint64_t bits) {
  uint8_t bytes[8];
  std::memcpy(bytes, &bits, sizeof bits);
  return hn::LoadMaskBits(kD, bytes);
}

// The bits of elements [at, at + lanes) of a mask. `at` is a multiple of 8, or of 4 where a vector
// has 4 lanes; `lanes`, if kPartial, is 4 or 8.
template <bool kPartial>
HWY_INLINE hn::Mask<D> read_mask(const uint8_t* mask, int64_t at) {
  if constexpr (kLanes == 4) return mask_from(mask[at >> 3] >> (at & 4));
  uint64_t bits = 0;
  std::memcpy(&bits, mask + (at >> 3), kPartial ? 1 : kLanes / 8);
  return mask_from(bits);
}

// With 4 lanes the first half of a byte clears the second, so it comes first.
template <bool kPartial>
HWY_INLINE void write_mask(hn::Mask<D> value, int64_t at, uint8_t* mask) {
  uint64_t bits = mask_bits(value);
  if constexpr (kLanes == 4) {
    bits = at & 4 ? (mask[at >> 3] & 15) | bits << 4 : bits;
    mask[at >> 3] = static_cast<uint8_t>(bits);
  } else {
    std::memcpy(mask + (at >> 3), &bits, kPartial ? 1 : kLanes / 8);
  }
}

// The epilogue but for its bias, of the elements of a result from `at` on.
template <bool kPartial>
HWY_INLINE V finish(const tt_epilogue& e, V y, int64_t at, size_t lanes) {
  const V low = hn::Set(kD, e.low), high = hn::Set(kD, e.high);
  if (e.clip) y = clamp(y, low, high);
  if (e.inside) write_mask<kPartial>(inside(y, low, high), at, e.inside);
  if (e.keep) y = hn::IfThenElseZero(read_mask<kPartial>(e.keep, at), y);
  if (e.keep_within) {
    y = hn::IfThenElseZero(inside(load_some<kPartial>(e.keep_within + at, lanes), low, high), y);
  }
  return y;
}

inline void clip(const float* x, int64_t n, float low, float high, float* y) {
  const V lo = hn::Set(kD, low), hi = hn::Set(kD, high);
  for_vectors(
      n, [&](int64_t i, auto at) TINYTL_INLINE { at.put(clamp(at.get(x + i), lo, hi), y + i); });
}

inline void clip_grad(const float* dy, const float* y, int64_t n, float low, float high,
                      float* dx) {
  const V lo = hn::Set(kD, low), hi = hn::Set(kD, high);
  for_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
    at.put(hn::IfThenElseZero(inside(at.get(y + i), lo, hi), at.get(dy + i)), dx + i);
  });
}

inline void add(const float* x, const float* y, int64_t n, float* z) {
  for_vectors(n, [&](int64_t i, auto at)
                     TINYTL_INLINE { at.put(hn::Add(at.get(x + i), at.get(y + i)), z + i); });
}

inline void add_layer(const float* x, const float* y, int64_t n, const tt_epilogue* epilogue,
                      float* z) {
  const tt_epilogue e = *epilogue;  // z could overwrite it, for all the compiler knows
  for_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
    const V sum = hn::Add(at.get(x + i), at.get(y + i));
    at.put(finish<at.kPartial>(e, sum, i, at.size()), z + i);
  });
}

inline void add_scaled(const float* x, float factor, int64_t n, float* y) {
  const V scale = hn::Set(kD, factor);
  for_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
    at.put(hn::Add(at.get(y + i), hn::Mul(scale, at.get(x + i))), y + i);
  });
}

// 64 elements are 8 bytes of mask, whatever the vector.
constexpr int64_t kMaskRun = 64;

inline void clip_mask(const float* y, int64_t n, float low, float high, uint8_t* mask) {
  const V lo = hn::Set(kD, low), hi = hn::Set(kD, high);
  const int64_t whole = n / kMaskRun * kMaskRun;
  for (int64_t i = 0; i < whole; i += kMaskRun) {
    uint64_t bits = 0;
    unroll<kMaskRun / kLanes>([&](auto v) TINYTL_INLINE {
      bits |= mask_bits(inside(load(y + i + v * kLanes), lo, hi)) << (v * kLanes);
    });
    std::memcpy(mask + i / 8, &bits, sizeof bits);
  }
  tt_clip_mask_f32(y + whole, n - whole, low, high, mask + whole / 8);
}

inline void mask_apply(const float* dy, const uint8_t* mask, int64_t n, float* dx) {
  const int64_t whole = n / kMaskRun * kMaskRun;
  for (int64_t i = 0; i < whole; i += kMaskRun) {
    uint64_t bits;
    std::memcpy(&bits, mask + i / 8, sizeof bits);
    unroll<kMaskRun / kLanes>([&](auto v) TINYTL_INLINE {
      const int64_t at = i + v * kLanes;
      store(hn::IfThenElseZero(mask_from(bits >> (v * kLanes)), load(dy + at)), dx + at);
    });
  }
  tt_mask_apply_f32(dy + whole, mask + whole / 8, n - whole, dx + whole);
}

inline void sgd(float* p, const float* g, float* v, int64_t n, float rate, float grad_scale,
                float momentum, int32_t nesterov, float weight_decay) {
  const V scale = hn::Set(kD, grad_scale), decay = hn::Set(kD, weight_decay);
  const V speed = hn::Set(kD, momentum), step = hn::Set(kD, rate);
  for_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
    const V start = at.get(p + i);
    V d = hn::Add(hn::Mul(at.get(g + i), scale), hn::Mul(decay, start));
    if (v) {
      const V velocity = hn::Add(hn::Mul(speed, at.get(v + i)), d);
      at.put(velocity, v + i);
      d = nesterov ? hn::Add(d, hn::Mul(speed, velocity)) : velocity;
    }
    at.put(hn::Sub(start, hn::Mul(step, d)), p + i);
  });
}

inline void adam(float* p, const float* g, float* m, float* v, int64_t n, float rate,
                 float grad_scale, float beta1, float beta2, float epsilon, float correction1,
                 float correction2, int32_t decoupled, float weight_decay) {
  const V step = hn::Set(kD, rate / correction1), scale = hn::Set(kD, grad_scale);
  const V root = hn::Set(kD, std::sqrt(correction2)), tiny = hn::Set(kD, epsilon);
  const V shrink = hn::Set(kD, decoupled ? rate * weight_decay : 0.0f);
  const V decay = hn::Set(kD, decoupled ? 0.0f : weight_decay);
  const V b1 = hn::Set(kD, beta1), b2 = hn::Set(kD, beta2);
  const V rest1 = hn::Set(kD, 1.0f - beta1), rest2 = hn::Set(kD, 1.0f - beta2);
  for_vectors(n, [&](int64_t i, auto at) TINYTL_INLINE {
    const V old = at.get(p + i);
    const V start = hn::Sub(old, hn::Mul(shrink, old));
    const V d = hn::Add(hn::Mul(at.get(g + i), scale), hn::Mul(decay, old));
    const V mean = hn::Add(hn::Mul(b1, at.get(m + i)), hn::Mul(rest1, d));
    const V square = hn::Add(hn::Mul(b2, at.get(v + i)), hn::Mul(rest2, hn::Mul(d, d)));
    at.put(mean, m + i);
    at.put(square, v + i);
    const V size = hn::Add(hn::Div(hn::Sqrt(square), root), tiny);
    at.put(hn::Sub(start, hn::Div(hn::Mul(step, mean), size)), p + i);
  });
}

// y[cols] += the sum of `rows` rows, four vectors of columns at a time.
template <int kVecs, class At>
HWY_INLINE void sum_columns(const float* x, int64_t rows, int64_t step, float* y, const At& at) {
  V even[kVecs], odd[kVecs];
  unroll<kVecs>([&](auto v) TINYTL_INLINE { even[v] = odd[v] = hn::Zero(kD); });
  int64_t i = 0;
  for (; i + 2 <= rows; i += 2, x += 2 * step) {
    unroll<kVecs>([&](auto v) TINYTL_INLINE {
      even[v] = hn::Add(even[v], at.get(x + v * kLanes));
      odd[v] = hn::Add(odd[v], at.get(x + step + v * kLanes));
    });
  }
  if (i < rows) {
    unroll<kVecs>([&](auto v)
                      TINYTL_INLINE { even[v] = hn::Add(even[v], at.get(x + v * kLanes)); });
  }
  unroll<kVecs>([&](auto v) TINYTL_INLINE {
    float* out = y + v * kLanes;
    at.put(hn::Add(at.get(out), hn::Add(even[v], odd[v])), out);
  });
}

constexpr int64_t kSumBlockFloats = 16 * 1024;  // rows summed together: they stay in L2

inline void sum_rows(const float* x, int64_t rows, int64_t cols, int64_t step, float* y) {
  std::fill_n(y, cols, 0.0f);
  if (cols == 0) return;
  const int64_t block = std::max<int64_t>(16, kSumBlockFloats / step);
  for (int64_t i = 0; i < rows; i += block, x += block * step) {
    const int64_t count = std::min(block, rows - i);
    int64_t j = 0;
    for (; j + 4 * kLanes <= cols; j += 4 * kLanes) {
      sum_columns<4>(x + j, count, step, y + j, WholeVector{});
    }
    for (; j + kLanes <= cols; j += kLanes) {
      sum_columns<1>(x + j, count, step, y + j, WholeVector{});
    }
    if (j < cols) {
      sum_columns<1>(x + j, count, step, y + j, FirstLanes{static_cast<size_t>(cols - j)});
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

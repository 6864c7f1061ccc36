// Depthwise convolution and the gradient of its input, vectorised over channels. The usual kernels
// walk along rows (depthwise_walk-inl.h); any other is summed pixel by pixel. No scratch.
#include "engine/kernels/simd/depthwise_walk-inl.h"
#include "engine/kernels/simd/elementwise-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

// One direction of a layer: y from x, or, backward, dx (then `y`) from dy (then `x`).
struct Depthwise {
  const tt_conv2d_shape& shape;
  bool backward;
  const float* x;
  const tt_weights& w;
  const tt_epilogue* epilogue;
  float* y;

  int64_t pitch() const { return shape.pitch ? shape.pitch : shape.in_c; }
  int64_t in_h() const { return backward ? shape.out_h : shape.in_h; }
  int64_t in_w() const { return backward ? shape.out_w : shape.in_w; }
  int64_t out_h() const { return backward ? shape.in_h : shape.out_h; }
  int64_t out_w() const { return backward ? shape.in_w : shape.out_w; }
  const float* bias() const { return epilogue ? epilogue->bias : nullptr; }
  const tt_epilogue* finish() const {
    const tt_epilogue* e = epilogue;
    return e && (e->clip || e->inside || e->keep || e->keep_within) ? e : nullptr;
  }
};

// The weights of tap `tap` in the vector of channels c.
template <bool kPartial>
HWY_INLINE V weight_of(const tt_weights& w, int64_t tap, int64_t pitch, int64_t c, size_t lanes) {
  if (w.f32) return load_some<kPartial>(w.f32 + tap * pitch + c, lanes);
  const int8_t* const q8 = w.q8 + tap * pitch + c;
  const hn::Rebind<int8_t, D> bytes;
  HWY_ALIGN int8_t some[kLanes] = {};
  if constexpr (kPartial) std::memcpy(some, q8, std::min<size_t>(lanes, kLanes));
  const auto narrow = kPartial ? hn::Load(bytes, some) : hn::LoadU(bytes, q8);
  const V value = hn::ConvertTo(kD, hn::PromoteTo(hn::RebindToSigned<D>(), narrow));
  return hn::Mul(value, load_some<kPartial>(w.scale + c, lanes));
}

// One pixel of the result, `kVecs` vectors of channels.
template <int kVecs, bool kPartial>
HWY_INLINE void sum_pixel(const Depthwise& d, int64_t n, int64_t row, int64_t col, int64_t c,
                          size_t lanes) {
  const tt_conv2d_shape& s = d.shape;
  // The input that a tap reads along one axis, or -1.
  const auto input = [&](int64_t at, int64_t pad, int64_t tap, int64_t stride, int64_t size) {
    const int64_t i = d.backward ? at + pad - tap : at * stride - pad + tap;
    if (!d.backward) return within(i, size) ? i : -1;
    return i % stride == 0 && within(i / stride, size) ? i / stride : -1;
  };
  const int64_t pitch = d.pitch();
  V sum[kVecs];
  unroll<kVecs>([&](auto v) TINYTL_INLINE {
    sum[v] = d.bias() ? load_some<kPartial>(d.bias() + c + v * kLanes, lanes) : hn::Zero(kD);
  });
  for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
    const int64_t h = input(row, s.pad_top, kh * s.dilation_h, s.stride_h, d.in_h());
    if (h < 0) continue;
    for (int64_t kw = 0; kw < s.kernel_w; ++kw) {
      const int64_t w = input(col, s.pad_left, kw * s.dilation_w, s.stride_w, d.in_w());
      if (w < 0) continue;
      const float* const x = d.x + ((n * d.in_h() + h) * d.in_w() + w) * pitch + c;
      unroll<kVecs>([&](auto v) TINYTL_INLINE {
        const int64_t tap = kh * s.kernel_w + kw, at = c + v * kLanes;
        sum[v] = hn::MulAdd(load_some<kPartial>(x + v * kLanes, lanes),
                            weight_of<kPartial>(d.w, tap, pitch, at, lanes), sum[v]);
      });
    }
  }
  const int64_t to = ((n * d.out_h() + row) * d.out_w() + col) * pitch + c;
  unroll<kVecs>([&](auto v) TINYTL_INLINE {
    const int64_t at = to + v * kLanes;
    const V y = d.finish() ? finish<kPartial>(*d.finish(), sum[v], at, lanes) : sum[v];
    store_some<kPartial>(y, d.y + at, lanes);
  });
}

inline void run_pixels(const Depthwise& d) {
  const int64_t channels = d.shape.in_c, pixels = d.out_h() * d.out_w();
  for (int64_t i = 0; i < d.shape.batch * pixels; ++i) {
    const int64_t n = i / pixels, row = i % pixels / d.out_w(), col = i % d.out_w();
    int64_t c = 0;
    for (; c + 4 * kLanes <= channels; c += 4 * kLanes) {
      sum_pixel<4, false>(d, n, row, col, c, kLanes);
    }
    for (; c + kLanes <= channels; c += kLanes) sum_pixel<1, false>(d, n, row, col, c, kLanes);
    if (c < channels) {
      sum_pixel<1, true>(d, n, row, col, c, static_cast<size_t>(channels - c));
    }
  }
}

// What a walk reads and writes along one axis. With a dilation (and stride 1) the outputs of one
// `residue` read inputs that lie equally far apart, and are a layer by themselves.
struct WalkAxis : Axis {
  template <class W>
  static WalkAxis of(W, int64_t in, int64_t out, int64_t pad, int64_t dilation, int64_t residue) {
    const int64_t start = residue - pad, origin = floor_mod(start, dilation);
    WalkAxis a;
    a.in_origin = origin;
    a.out_origin = residue;
    a.in = floor_div(in - 1 - origin, dilation) + 1;
    a.out = floor_div(out - 1 - residue, dilation) + 1;
    a.groups = a.out;
    a.read = floor_div(start, dilation);
    a.write = 0;
    if (W::kWrite > 1) {
      const int64_t first = floor_div(pad, W::kWrite);
      a.groups = floor_div(out - 1 + pad, W::kWrite) - first + 1;
      a.read = first - (W::kSpan - 1);
      a.write = W::kWrite * first - pad;
    }
    return a;
  }
  int64_t in_origin, out_origin;
};

// The epilogue of `count` vectors of a result.
template <bool kPartial>
HWY_NOINLINE void finish_vectors(const tt_epilogue& epilogue, float* result, int64_t at,
                                 int64_t step, int64_t count, size_t lanes) {
  const tt_epilogue e = epilogue;  // the result could overwrite it, for all the compiler knows
  const auto run = [&](auto&& end) TINYTL_INLINE {
    for (int64_t i = 0; i < count; ++i, at += step) {
      store_some<kPartial>(end(load_some<kPartial>(result + at, lanes)), result + at, lanes);
    }
  };
  const V low = hn::Set(kD, e.low), high = hn::Set(kD, e.high);
  if (e.keep || e.keep_within || !e.clip || !e.inside) {
    return run([&](V y) TINYTL_INLINE { return finish<kPartial>(e, y, at, lanes); });
  }
  run([&](V y) TINYTL_INLINE {
    y = clamp(y, low, high);
    write_mask<kPartial>(inside(y, low, high), at, e.inside);
    return y;
  });
}

// Vectors of channels that share cache lines, also where no pixel starts one.
constexpr int kBlockVecs = std::max(1, 16 / kLanes);

// Groups [group, end) of rows of `vecs` vectors of channels. `k` is of channel 0.
template <class W, bool kPartial>
HWY_INLINE void walk_channels(const Depthwise& d, const Walk& k, int64_t c, int64_t vecs,
                              int64_t group, int64_t end) {
  constexpr int kTaps = W::kSize * W::kSize;
  constexpr int kGroups = kPartial || W::kSize > 5 ? 1 : 2;  // more is much code for rare cases
  HWY_ALIGN float w[kBlockVecs * kTaps * kLanes];
  const bool flipped = d.backward && W::kWrite == 1;
  for (int64_t i = 0; i < vecs * kTaps; ++i) {
    const int64_t tap = i % kTaps, from = flipped ? kTaps - 1 - tap : tap;
    hn::Store(weight_of<kPartial>(d.w, from, d.pitch(), c + i / kTaps * kLanes, k.lanes), kD,
              w + i * kLanes);
  }
  std::array<Walk, kBlockVecs> parts;
  for (int64_t v = 0; v < vecs; ++v) {
    const int64_t at = c + v * kLanes;
    Walk& part = parts[v] = k;
    part.x += at;
    part.y += at;
    part.w = w + v * kTaps * kLanes;
    part.bias = d.bias() ? d.bias() + at : nullptr;
    if (k.x_ahead) {
      part.x_ahead += at * k.cols->in;
      part.y_ahead += at * k.cols->out;
    }
  }
  while (group < end) {
    const int64_t groups = std::min<int64_t>(kGroups, end - group);
    for (int64_t v = 0; v < vecs; ++v) {
      const Walk& part = parts[v];
      (groups == 1 ? walk<W, 1, kPartial> : walk<W, kGroups, kPartial>)(part, group);
      if (!d.finish()) continue;
      const int64_t row = k.rows->write + group * W::kWrite, last = row + groups * W::kWrite;
      for (int64_t i = std::max<int64_t>(row, 0); i < std::min(last, k.rows->out); ++i) {
        finish_vectors<kPartial>(*d.finish(), d.y, part.y - d.y + i * k.y_row, k.y_col, k.cols->out,
                                 k.lanes);
      }
    }
    group += groups;
  }
}

template <class W>
inline void walk_image(const Depthwise& d, int64_t n, const WalkAxis& rows, const WalkAxis& cols) {
  const tt_conv2d_shape& s = d.shape;
  const int64_t pitch = d.pitch(), x_row = d.in_w() * pitch, y_row = d.out_w() * pitch;
  const int64_t to = (n * d.out_h() + rows.out_origin) * y_row + cols.out_origin * pitch;
  Walk k{.x = d.x + (n * d.in_h() + rows.in_origin) * x_row + cols.in_origin * pitch,
         .x_row = x_row * s.dilation_h,
         .x_col = pitch * s.dilation_w,
         .y = d.y + to,
         .y_row = y_row * s.dilation_h,
         .y_col = pitch * s.dilation_w,
         .rows = &rows,
         .cols = &cols,
         .lanes = kLanes};
  const int64_t band = std::max<int64_t>(2, kBandFloats / (x_row * W::kRead) / 2 * 2);
  for (int64_t group = 0; group < rows.groups; group += band) {
    const int64_t end = std::min(group + band, rows.groups);
    int64_t c = 0;
    k.lanes = kLanes;
    if (d.in_h() * x_row >= kLargeFloats || d.out_h() * y_row >= kLargeFloats) {
      k.x_ahead = k.x + (end - group) * W::kRead * k.x_row;
      k.y_ahead = k.y + (end - group) * W::kWrite * k.y_row;
    }
    while (c + kLanes <= s.in_c) {
      const int64_t vecs = std::min<int64_t>(kBlockVecs, (s.in_c - c) / kLanes);
      walk_channels<W, false>(d, k, c, vecs, group, end);
      c += vecs * kLanes;
    }
    if (c == s.in_c) continue;
    k.lanes = static_cast<size_t>(s.in_c - c);
    walk_channels<W, true>(d, k, c, 1, group, end);
  }
}

template <class W>
void walk_layer(const Depthwise& d) {
  const tt_conv2d_shape& s = d.shape;
  int64_t pad_top = s.pad_top, pad_left = s.pad_left;
  if (d.backward && W::kWrite == 1) {
    pad_top = (W::kSize - 1) * s.dilation_h - pad_top;
    pad_left = (W::kSize - 1) * s.dilation_w - pad_left;
  }
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t row = 0; row < s.dilation_h; ++row) {
      for (int64_t col = 0; col < s.dilation_w; ++col) {
        walk_image<W>(d, n, WalkAxis::of(W(), d.in_h(), d.out_h(), pad_top, s.dilation_h, row),
                      WalkAxis::of(W(), d.in_w(), d.out_w(), pad_left, s.dilation_w, col));
      }
    }
  }
}

template <int K>
inline void run_square(const Depthwise& d) {
  if (d.shape.stride_h == 1) return walk_layer<Taps<K, 1, false>>(d);
  if (d.backward) return walk_layer<Taps<K, 2, true>>(d);
  walk_layer<Taps<K, 2, false>>(d);
}

inline void run_depthwise(const Depthwise& d) {
  const tt_conv2d_shape& s = d.shape;
  const bool dilated = s.dilation_h > 1 || s.dilation_w > 1;
  const bool square = s.kernel_h == s.kernel_w && s.stride_h == s.stride_w;
  if (square && (s.stride_h == 1 || (s.stride_h == 2 && !dilated))) {
    if (s.kernel_h == 3) return run_square<3>(d);
    if (s.kernel_h == 5) return run_square<5>(d);
    if (s.kernel_h == 7) return run_square<7>(d);
  }
  run_pixels(d);
}

inline void depthwise(const tt_conv2d_shape* s, const float* x, const tt_weights* w,
                      const tt_epilogue* e, float* y) {
  run_depthwise({*s, false, x, *w, e, y});
}

inline void depthwise_grad_input(const tt_conv2d_shape* s, const float* dy, const tt_weights* w,
                                 const tt_epilogue* e, float* dx) {
  run_depthwise({*s, true, dy, *w, e, dx});
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

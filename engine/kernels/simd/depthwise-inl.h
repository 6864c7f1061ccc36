// Depthwise convolution and the gradient of its input, vectorised over channels: a few neighbouring
// pixels at a time share each weight they load. Any kernel size, stride and dilation, no scratch.
#include "engine/kernels/simd/phase-inl.h"
#include "engine/kernels/simd/product-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_DEPTHWISE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

// The taps that a run of pixels adds up. The gradient of the input walks x backwards (x is then
// dy).
struct Taps {
  int64_t rows, cols;
  int64_t x_row, x_col, w_row, w_col;
};

constexpr int kMaxPixels = 8;

struct PixelRun {
  const float* x;
  int64_t x_step;  // from pixel to pixel
  const float* w;
  const float* bias;
  float* y;
  int64_t y_step;
  int64_t channels;
  int64_t ahead;  // from x to what the next row of y reads first
};

template <int kPixels, bool kPartial>
HWY_INLINE void sum_taps(const PixelRun& run, const Taps& taps, int64_t c, size_t lanes) {
  V sum[kPixels];
  const V bias = run.bias ? load_some<kPartial>(run.bias + c, lanes) : hn::Zero(kD);
  unroll<kPixels>([&](auto p) TINYTL_INLINE { sum[p] = bias; });
  const int64_t x_step = run.x_step;
  const float* ahead = run.x + run.ahead + c;
  unroll<kPixels>([&](auto p) TINYTL_INLINE { hwy::Prefetch(ahead + p * x_step); });
  for (int64_t i = 0; i < taps.rows; ++i) {
    const float* x = run.x + i * taps.x_row + c;
    const float* w = run.w + i * taps.w_row + c;
    for (int64_t j = 0; j < taps.cols; ++j, x += taps.x_col, w += taps.w_col) {
      const V weight = load_some<kPartial>(w, lanes);
      unroll<kPixels>([&](auto p) TINYTL_INLINE {
        sum[p] = hn::MulAdd(load_some<kPartial>(x + p * x_step, lanes), weight, sum[p]);
      });
    }
  }
  unroll<kPixels>([&](auto p) TINYTL_INLINE {
    store_some<kPartial>(sum[p], run.y + p * run.y_step + c, lanes);
  });
}

template <int kPixels>
HWY_NOINLINE void run_pixels(const PixelRun& run, const Taps& taps) {
  int64_t c = 0;
  for (; c + kLanes <= run.channels; c += kLanes) sum_taps<kPixels, false>(run, taps, c, kLanes);
  if (c < run.channels) {
    sum_taps<kPixels, true>(run, taps, c, static_cast<size_t>(run.channels - c));
  }
}

// `count` pixels that see the same taps.
inline void run_row(PixelRun run, const Taps& taps, int64_t count) {
  static constexpr auto kTable = []<int... I>(std::integer_sequence<int, I...>) {
    return std::array{run_pixels<I + 1>...};
  }
  (std::make_integer_sequence<int, kMaxPixels>{});
  while (count > 0) {
    const int64_t now = count >= 2 * kMaxPixels ? kMaxPixels
                        : count > kMaxPixels    ? ceil_div(count, 2)
                                                : count;
    kTable[static_cast<size_t>(now - 1)](run, taps);
    run.x += now * run.x_step;
    run.y += now * run.y_step;
    count -= now;
  }
}

// Along one axis: the taps, and where they read. Tap t of position i reads position
// start + i * stride + t * step of an axis of `size`.
struct Axis {
  int64_t positions, taps, start, stride, step, size;

  int64_t at(int64_t i, int64_t t) const { return start + i * stride + t * step; }
  bool reads(int64_t i, int64_t t) const { return at(i, t) >= 0 && at(i, t) < size; }
  // The taps of position i that lie inside are [first, last): reads() is true on one interval.
  int64_t first_tap(int64_t i) const {
    int64_t t = 0;
    while (t < taps && !reads(i, t)) ++t;
    return t;
  }
  int64_t last_tap(int64_t i, int64_t first) const {
    int64_t t = first;
    while (t < taps && reads(i, t)) ++t;
    return t;
  }
};

// One image plane set: y at (row, col) = bias + sum over taps of x . w, all channels.
struct Plane {
  Axis h, w;
  const float* x;
  int64_t x_row, x_col;
  const float* weights;
  int64_t w_row, w_col;
  const float* bias;
  float* y;
  int64_t y_row, y_col;
  int64_t channels;
};

inline void run_plane(const Plane& p) {
  for (int64_t i = 0; i < p.h.positions; ++i) {
    const int64_t top = p.h.first_tap(i), bottom = p.h.last_tap(i, top);
    for (int64_t j = 0; j < p.w.positions;) {
      const int64_t left = p.w.first_tap(j), right = p.w.last_tap(j, left);
      int64_t end = j + 1;
      while (end < p.w.positions && p.w.first_tap(end) == left &&
             p.w.last_tap(end, left) == right) {
        ++end;
      }
      const bool none = top == bottom || left == right;  // only the bias
      const Taps taps{none ? 0 : bottom - top, right - left, p.h.step * p.x_row,
                      p.w.step * p.x_col,      p.w_row,      p.w_col};
      const float* x = none ? p.x : p.x + p.h.at(i, top) * p.x_row + p.w.at(j, left) * p.x_col;
      run_row({.x = x,
               .x_step = p.w.stride * p.x_col,
               .w = p.weights + (none ? 0 : top * p.w_row + left * p.w_col),
               .bias = p.bias,
               .y = p.y + i * p.y_row + j * p.y_col,
               .y_step = p.y_col,
               .channels = p.channels,
               .ahead = (std::max<int64_t>(p.h.step, 0) * (taps.rows - 1) + p.h.stride) * p.x_row},
              taps, end - j);
      j = end;
    }
  }
}

inline void depthwise(const tt_conv2d_shape* s, const float* x, const tt_weights* weights,
                      const tt_epilogue* e, float* y) {
  if (weights->f32 == nullptr || s->pitch) return tt_depthwise_f32(s, x, weights, e, y);
  const float *w = weights->f32, *bias = e ? e->bias : nullptr;
  const int64_t c = s->in_c;
  for (int64_t n = 0; n < s->batch; ++n) {
    run_plane({.h = {s->out_h, s->kernel_h, -s->pad_top, s->stride_h, s->dilation_h, s->in_h},
               .w = {s->out_w, s->kernel_w, -s->pad_left, s->stride_w, s->dilation_w, s->in_w},
               .x = x + n * s->in_h * s->in_w * c,
               .x_row = s->in_w * c,
               .x_col = c,
               .weights = w,
               .w_row = s->kernel_w * c,
               .w_col = c,
               .bias = bias,
               .y = y + n * s->out_h * s->out_w * c,
               .y_row = s->out_w * c,
               .y_col = c,
               .channels = c});
  }
  if (e) finish(*e, int64_t{s->batch} * s->out_h * s->out_w, c, c, y);
}

inline Axis phase_axis(const Phase& phase, int64_t out) {
  return {phase.positions, phase.taps, phase.last_out + phase.reach, 1, -phase.out_step, out};
}

inline void depthwise_grad_input(const tt_conv2d_shape* s, const float* dy,
                                 const tt_weights* weights, const tt_epilogue* e, float* dx) {
  if (weights->f32 == nullptr || s->pitch)
    return tt_depthwise_grad_input_f32(s, dy, weights, e, dx);
  const float* w = weights->f32;
  const int64_t c = s->in_c;
  for (int64_t n = 0; n < s->batch; ++n) {
    for_each_phase(*s, [&](const Phase& h, const Phase& v) {
      run_plane({.h = phase_axis(h, s->out_h),
                 .w = phase_axis(v, s->out_w),
                 .x = dy + n * s->out_h * s->out_w * c,
                 .x_row = s->out_w * c,
                 .x_col = c,
                 .weights = w + (h.first * s->kernel_w + v.first) * c,
                 .w_row = h.step * s->kernel_w * c,
                 .w_col = v.step * c,
                 .bias = nullptr,
                 .y = dx + ((n * s->in_h + h.position) * s->in_w + v.position) * c,
                 .y_row = static_cast<int64_t>(s->stride_h) * s->in_w * c,
                 .y_col = s->stride_w * c,
                 .channels = c});
    });
  }
  if (e) finish(*e, int64_t{s->batch} * s->in_h * s->in_w, c, c, dx);
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

// With a stride, neighbouring input pixels are reached by different taps of a kernel. Those that
// are reached by the same taps form a phase, and the gradient of a phase is a convolution of
// stride 1.
#include <numeric>

#include "engine/kernels/simd/vector-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_PHASE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_PHASE_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_PHASE_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_PHASE_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

// One axis of the gradient of the input. With stride s, the input positions of one phase
// (position + pad) % s all see the same taps: first, first + step, ..., `taps` of them, at output
// positions that fall by `out_step` from tap to tap and rise by 1 from position to position.
struct Phase {
  Phase(int64_t phase, int64_t in, int64_t kernel, int64_t stride, int64_t pad, int64_t dilation) {
    const int64_t common = std::gcd(stride, dilation);
    step = stride / common;
    out_step = dilation / common;
    position = ((phase - pad) % stride + stride) % stride;
    positions = position < in ? (in - 1 - position) / stride + 1 : 0;
    first = 0;
    while (first < kernel && (phase - first * dilation) % stride != 0) ++first;
    taps = first < kernel ? (kernel - 1 - first) / step + 1 : 0;
    reach = taps > 0 ? (taps - 1) * out_step : 0;
    last_out = taps > 0 ? (position + pad - first * dilation) / stride - reach : 0;
  }
  int64_t position, positions;  // the first input position, and how many there are
  int64_t first, step, taps;
  int64_t out_step, reach;
  int64_t last_out;  // the output position of the last tap at the first input position
};

// fn(Phase h, Phase w) for every pair of phases.
template <class F>
HWY_INLINE void for_each_phase(const tt_conv2d_shape& s, F&& fn) {
  for (int64_t ph = 0; ph < s.stride_h; ++ph) {
    for (int64_t pw = 0; pw < s.stride_w; ++pw) {
      fn(Phase(ph, s.in_h, s.kernel_h, s.stride_h, s.pad_top, s.dilation_h),
         Phase(pw, s.in_w, s.kernel_w, s.stride_w, s.pad_left, s.dilation_w));
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

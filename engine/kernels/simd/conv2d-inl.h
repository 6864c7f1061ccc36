// Convolution and the gradient of its weights as matrix products on a few image rows at a time. The
// rows are copied to scratch with their zero padding; taps are then strides of the product, so
// nothing is unrolled into columns.
#include <cstring>

#include "engine/kernels/simd/product-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_CONV2D_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_CONV2D_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_CONV2D_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_CONV2D_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

constexpr int64_t kRowsBytes = 64 * 1024;  // aim of the copied rows; one output row always fits

// A window of an image [h, w, c]: rows [top, top + rows), columns [left, left + cols), which may
// reach outside.
struct ImageWindow {
  int64_t top, rows, left, cols;
};

inline void copy_window(const float* image, int64_t h, int64_t w, int64_t c,
                        const ImageWindow& window, float* dst) {
  const int64_t first = std::clamp<int64_t>(window.left, 0, w);
  const int64_t last = std::clamp<int64_t>(window.left + window.cols, first, w);
  for (int64_t i = 0; i < window.rows; ++i, dst += window.cols * c) {
    const int64_t row = window.top + i;
    const bool inside = row >= 0 && row < h && last > first;
    if (!inside) {
      std::fill_n(dst, window.cols * c, 0.0f);
      continue;
    }
    const int64_t before = (first - window.left) * c, count = (last - first) * c;
    std::fill_n(dst, before, 0.0f);
    std::memcpy(dst + before, image + (row * w + first) * c,
                static_cast<size_t>(count) * sizeof(float));
    std::fill_n(dst + before + count, window.cols * c - before - count, 0.0f);
  }
}

inline size_t floats(int64_t n) { return static_cast<size_t>(n) * sizeof(float); }

inline bool is_pointwise(const tt_conv2d_shape& s) {
  return s.kernel_h == 1 && s.kernel_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
         s.pad_top == 0 && s.pad_left == 0 && s.groups == 1 && s.in_h == s.out_h &&
         s.in_w == s.out_w;
}

inline int64_t pixels(const tt_conv2d_shape& s) {
  return static_cast<int64_t>(s.batch) * s.out_h * s.out_w;
}

// How many output rows are computed from one copy of their input rows, and that copy's size.
struct InputRows {
  explicit InputRows(const tt_conv2d_shape& s)
      : reach((s.kernel_h - 1) * s.dilation_h + 1),
        cols((s.out_w - 1) * s.stride_w + (s.kernel_w - 1) * s.dilation_w + 1),
        pitch(cols * s.in_c) {
    const int64_t fit = kRowsBytes / static_cast<int64_t>(sizeof(float)) / pitch;
    out_rows = std::clamp<int64_t>((fit - reach) / s.stride_h + 1, 1, s.out_h);
    elements = ((out_rows - 1) * s.stride_h + reach) * pitch;
  }
  ImageWindow window(const tt_conv2d_shape& s, int64_t oh, int64_t rows) const {
    return {oh * s.stride_h - s.pad_top, (rows - 1) * s.stride_h + reach, -s.pad_left, cols};
  }
  int64_t reach, cols, pitch;
  int64_t out_rows, elements;
};

// The taps of a kernel row are one run of channels where nothing lies between them.
inline bool taps_touch(const tt_conv2d_shape& s) { return s.groups == 1 && s.dilation_w == 1; }

inline Product forward_product(const tt_conv2d_shape& s, const InputRows& rows) {
  const int64_t in_group = s.in_c / s.groups;
  const int64_t run = taps_touch(s) ? s.kernel_w : 1;
  return {.m = s.out_w,
          .n = s.out_c / s.groups,
          .k2 = s.kernel_h,
          .k1 = s.kernel_w / run,
          .k0 = in_group * run,
          .a_outer = s.stride_h * rows.pitch,
          .a_row = static_cast<int64_t>(s.stride_w) * s.in_c,
          .a_k2 = s.dilation_h * rows.pitch,
          .a_k1 = static_cast<int64_t>(s.dilation_w) * s.in_c,
          .a_k0 = 1,
          .b_k2 = s.kernel_w * in_group * s.out_c,
          .b_k1 = in_group * s.out_c,
          .b_k0 = s.out_c,
          .c_outer = static_cast<int64_t>(s.out_w) * s.out_c,
          .c_row = s.out_c};
}

// Stands for weights of a kind where only their kind matters.
inline tt_weights weights_of_kind(int32_t is_q8) {
  static constexpr float kF32 = 0;
  static constexpr int8_t kQ8 = 0;
  return is_q8 ? tt_weights{nullptr, &kQ8, nullptr} : tt_weights{&kF32, nullptr, nullptr};
}

// `w` from element `i` on, the first of which is of channel `c` of its last axis.
inline tt_weights weights_from(const tt_weights& w, int64_t i, int64_t c) {
  if (w.f32) return {w.f32 + i, nullptr, nullptr};
  return {nullptr, w.q8 + i, w.scale + c};
}

// The end of a result of several groups. Masks are in bytes of 8 channels, which groups may cut:
// then all but the bias is left for whole rows.
struct GroupEnd {
  GroupEnd(const tt_epilogue* e, int64_t groups, int64_t group_channels)
      : all(e ? *e : tt_epilogue{}),
        apart(groups > 1 && group_channels % 8 != 0 && (all.inside || all.keep)) {}

  tt_epilogue of_group(int64_t first_channel) const {
    tt_epilogue e = apart ? tt_epilogue{} : all;
    e.bias = all.bias ? all.bias + first_channel : nullptr;
    return e;
  }

  tt_epilogue all;
  bool apart;
};

inline Product pointwise_product(const tt_conv2d_shape& s, const tt_weights& w) {
  return {.m = pixels(s),
          .n = s.out_c,
          .k0 = s.in_c,
          .a_row = s.in_c,
          .a_k0 = 1,
          .b = w,
          .b_k0 = s.out_c,
          .c_row = s.out_c};
}

inline size_t conv2d_scratch_bytes(const tt_conv2d_shape* s, int32_t is_q8) {
  if (is_pointwise(*s)) return product_scratch_bytes(pointwise_product(*s, weights_of_kind(is_q8)));
  const InputRows rows(*s);
  Product p = forward_product(*s, rows);
  p.b = weights_of_kind(is_q8);
  return floats(rows.elements) + product_scratch_bytes(p);
}

inline void pointwise(const tt_conv2d_shape& s, const float* x, const tt_weights& w,
                      const tt_epilogue* e, float* y, void* scratch) {
  Product p = pointwise_product(s, w);
  p.a = x;
  p.c = y;
  p.result = y;
  if (e) p.end = *e;
  multiply(p, scratch);
}

inline void conv2d(const tt_conv2d_shape* shape, const float* x, const tt_weights* w,
                   const tt_epilogue* e, float* y, void* scratch) {
  const tt_conv2d_shape& s = *shape;
  if (is_pointwise(s)) return pointwise(s, x, *w, e, y, scratch);
  const InputRows rows(s);
  Product p = forward_product(s, rows);
  p.result = y;
  float* copy = static_cast<float*>(scratch);
  const int64_t in_group = s.in_c / s.groups, out_group = s.out_c / s.groups;
  const GroupEnd end(e, s.groups, out_group);
  for (int64_t n = 0; n < s.batch; ++n) {
    const float* image = x + n * s.in_h * s.in_w * s.in_c;
    for (int64_t oh = 0; oh < s.out_h; oh += rows.out_rows) {
      p.m_outer = std::min(rows.out_rows, s.out_h - oh);
      copy_window(image, s.in_h, s.in_w, s.in_c, rows.window(s, oh, p.m_outer), copy);
      float* const first = y + (n * s.out_h + oh) * p.c_outer;
      for (int64_t g = 0; g < s.groups; ++g) {
        p.a = copy + g * in_group;
        p.b = weights_from(*w, g * out_group, g * out_group);
        p.end = end.of_group(g * out_group);
        p.c = first + g * out_group;
        multiply(p, copy + rows.elements);
      }
      if (end.apart) {
        finish_block(end.all, p.m_outer * s.out_w, s.out_c, s.out_c, first, first - y);
      }
    }
  }
}

// The number of all output channels, from pixel to pixel of dy and along the last axis of dw.
inline int64_t out_pitch(const tt_conv2d_shape& s) { return s.pitch ? s.pitch : s.out_c; }

// dw of the kernel rows: m runs over the taps of a row, k over the output pixels.
inline Product weight_product(const tt_conv2d_shape& s, const InputRows& rows) {
  const int64_t in_group = s.in_c / s.groups, pitch = out_pitch(s);
  return {.m_outer = s.kernel_h,
          .m = in_group * (taps_touch(s) ? s.kernel_w : 1),
          .n = s.out_c / s.groups,
          .k1 = rows.out_rows,
          .k0 = s.out_w,
          .a_outer = s.dilation_h * rows.pitch,
          .a_row = 1,
          .a_k1 = s.stride_h * rows.pitch,
          .a_k0 = static_cast<int64_t>(s.stride_w) * s.in_c,
          .b_k1 = s.out_w * pitch,
          .b_k0 = pitch,
          .c_outer = s.kernel_w * in_group * pitch,
          .c_row = pitch};
}

inline Product pointwise_weight_product(const tt_conv2d_shape& s) {
  const int64_t pitch = out_pitch(s);
  return {.m = s.in_c,
          .n = s.out_c,
          .k0 = pixels(s),
          .a_row = 1,
          .a_k0 = s.in_c,
          .b_k0 = pitch,
          .c_row = pitch};
}

inline size_t conv2d_grad_weight_scratch_bytes(const tt_conv2d_shape* s) {
  if (is_pointwise(*s)) return product_scratch_bytes(pointwise_weight_product(*s));
  const InputRows rows(*s);
  return floats(rows.elements) + product_scratch_bytes(weight_product(*s, rows));
}

inline void pointwise_grad_weight(const tt_conv2d_shape& s, const float* x, const float* dy,
                                  float factor, bool accumulate, float* dw, void* scratch) {
  Product p = pointwise_weight_product(s);
  p.a = x;
  p.b.f32 = dy;
  p.factor = factor;
  p.accumulate = accumulate;
  p.c = dw;
  multiply(p, scratch);
}

inline void conv2d_grad_weight(const tt_conv2d_shape* shape, const float* x, const float* dy,
                               float factor, int32_t accumulate, float* dw, void* scratch) {
  const tt_conv2d_shape& s = *shape;
  if (is_pointwise(s)) {
    return pointwise_grad_weight(s, x, dy, factor, accumulate != 0, dw, scratch);
  }
  const InputRows rows(s);
  Product p = weight_product(s, rows);
  p.factor = factor;
  float* copy = static_cast<float*>(scratch);
  const int64_t in_group = s.in_c / s.groups, out_group = s.out_c / s.groups;
  const int64_t tap_step = taps_touch(s) ? s.kernel_w : 1;
  for (int64_t n = 0; n < s.batch; ++n) {
    const float* image = x + n * s.in_h * s.in_w * s.in_c;
    for (int64_t oh = 0; oh < s.out_h; oh += rows.out_rows) {
      p.k1 = std::min(rows.out_rows, s.out_h - oh);
      p.accumulate = accumulate || n > 0 || oh > 0;
      copy_window(image, s.in_h, s.in_w, s.in_c, rows.window(s, oh, p.k1), copy);
      for (int64_t g = 0; g < s.groups; ++g) {
        p.b.f32 = dy + (n * s.out_h + oh) * p.b_k1 + g * out_group;
        for (int64_t kw = 0; kw < s.kernel_w; kw += tap_step) {
          p.a = copy + kw * s.dilation_w * s.in_c + g * in_group;
          p.c = dw + kw * in_group * p.c_row + g * out_group;
          multiply(p, copy + rows.elements);
        }
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

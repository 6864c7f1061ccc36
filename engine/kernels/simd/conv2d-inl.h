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
struct Window {
  int64_t top, rows, left, cols;
};

inline void copy_window(const float* image, int64_t h, int64_t w, int64_t c, const Window& window,
                        float* dst) {
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
  Window window(const tt_conv2d_shape& s, int64_t oh, int64_t rows) const {
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

inline size_t conv2d_scratch_bytes(const tt_conv2d_shape* s, int32_t) {
  if (is_pointwise(*s)) return product_scratch_bytes(1, s->in_c, s->out_c, 1);
  const InputRows rows(*s);
  const Product p = forward_product(*s, rows);
  return floats(rows.elements) + product_scratch_bytes(p.k2 * p.k1, p.k0, p.n, p.b_col);
}

inline void pointwise(const tt_conv2d_shape& s, const float* x, const float* w, const float* bias,
                      float* y, void* scratch) {
  multiply({.m = pixels(s),
            .n = s.out_c,
            .k0 = s.in_c,
            .a = x,
            .a_row = s.in_c,
            .a_k0 = 1,
            .b = w,
            .b_k0 = s.out_c,
            .bias = bias,
            .c = y,
            .c_row = s.out_c},
           scratch);
}

inline void conv2d_f32(const tt_conv2d_shape* shape, const float* x, const float* w,
                       const float* bias, float* y, void* scratch) {
  const tt_conv2d_shape& s = *shape;
  if (is_pointwise(s)) return pointwise(s, x, w, bias, y, scratch);
  const InputRows rows(s);
  Product p = forward_product(s, rows);
  float* copy = static_cast<float*>(scratch);
  const int64_t in_group = s.in_c / s.groups, out_group = s.out_c / s.groups;
  for (int64_t n = 0; n < s.batch; ++n) {
    const float* image = x + n * s.in_h * s.in_w * s.in_c;
    for (int64_t oh = 0; oh < s.out_h; oh += rows.out_rows) {
      p.m_outer = std::min(rows.out_rows, s.out_h - oh);
      copy_window(image, s.in_h, s.in_w, s.in_c, rows.window(s, oh, p.m_outer), copy);
      for (int64_t g = 0; g < s.groups; ++g) {
        p.a = copy + g * in_group;
        p.b = w + g * out_group;
        p.bias = bias ? bias + g * out_group : nullptr;
        p.c = y + (n * s.out_h + oh) * p.c_outer + g * out_group;
        multiply(p, copy + rows.elements);
      }
    }
  }
}

inline void conv2d(const tt_conv2d_shape* s, const float* x, const tt_weights* w,
                   const tt_epilogue* e, float* y, void* scratch) {
  if (w->f32 == nullptr) return tt_conv2d_f32(s, x, w, e, y, scratch);
  conv2d_f32(s, x, w->f32, e ? e->bias : nullptr, y, scratch);
  if (e) finish(*e, pixels(*s), s->out_c, s->out_c, y);
}

// dw of the kernel rows: m runs over the taps of a row, k over the output pixels.
inline Product weight_product(const tt_conv2d_shape& s, const InputRows& rows) {
  const int64_t in_group = s.in_c / s.groups;
  return {.m_outer = s.kernel_h,
          .m = in_group * (taps_touch(s) ? s.kernel_w : 1),
          .n = s.out_c / s.groups,
          .k1 = rows.out_rows,
          .k0 = s.out_w,
          .a_outer = s.dilation_h * rows.pitch,
          .a_row = 1,
          .a_k1 = s.stride_h * rows.pitch,
          .a_k0 = static_cast<int64_t>(s.stride_w) * s.in_c,
          .b_k1 = static_cast<int64_t>(s.out_w) * s.out_c,
          .b_k0 = s.out_c,
          .c_outer = s.kernel_w * in_group * s.out_c,
          .c_row = s.out_c};
}

inline size_t conv2d_grad_weight_scratch_bytes(const tt_conv2d_shape* s) {
  if (is_pointwise(*s)) return product_scratch_bytes(1, pixels(*s), s->out_c, 1);
  const InputRows rows(*s);
  const Product p = weight_product(*s, rows);
  return floats(rows.elements) + product_scratch_bytes(p.k1, p.k0, p.n, p.b_col);
}

inline void pointwise_grad_weight(const tt_conv2d_shape& s, const float* x, const float* dy,
                                  float* dw, void* scratch) {
  multiply({.m = s.in_c,
            .n = s.out_c,
            .k0 = pixels(s),
            .a = x,
            .a_row = 1,
            .a_k0 = s.in_c,
            .b = dy,
            .b_k0 = s.out_c,
            .c = dw,
            .c_row = s.out_c},
           scratch);
}

inline void conv2d_grad_weight(const tt_conv2d_shape* shape, const float* x, const float* dy,
                               float factor, int32_t accumulate, float* dw, void* scratch) {
  if (factor != 1.0f || accumulate || shape->pitch) {
    return tt_conv2d_grad_weight_f32(shape, x, dy, factor, accumulate, dw, scratch);
  }
  const tt_conv2d_shape& s = *shape;
  if (is_pointwise(s)) return pointwise_grad_weight(s, x, dy, dw, scratch);
  const InputRows rows(s);
  Product p = weight_product(s, rows);
  float* copy = static_cast<float*>(scratch);
  const int64_t in_group = s.in_c / s.groups, out_group = s.out_c / s.groups;
  const int64_t tap_step = taps_touch(s) ? s.kernel_w : 1;
  for (int64_t n = 0; n < s.batch; ++n) {
    const float* image = x + n * s.in_h * s.in_w * s.in_c;
    for (int64_t oh = 0; oh < s.out_h; oh += rows.out_rows) {
      p.k1 = std::min(rows.out_rows, s.out_h - oh);
      p.accumulate = n > 0 || oh > 0;
      copy_window(image, s.in_h, s.in_w, s.in_c, rows.window(s, oh, p.k1), copy);
      for (int64_t g = 0; g < s.groups; ++g) {
        p.b = dy + (n * s.out_h + oh) * p.b_k1 + g * out_group;
        for (int64_t kw = 0; kw < s.kernel_w; kw += tap_step) {
          p.a = copy + kw * s.dilation_w * s.in_c + g * in_group;
          p.c = dw + kw * in_group * s.out_c + g * out_group;
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

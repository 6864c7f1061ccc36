// Gradient of a convolution's input: phase by phase a convolution of dy with the transposed
// weights. Every element of dx is gathered once, so nothing is zeroed and nothing is scattered.
#include "engine/kernels/simd/conv2d-inl.h"
#include "engine/kernels/simd/phase-inl.h"

#if defined(TINYTL_ENGINE_KERNELS_SIMD_CONV2D_GRAD_INPUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TINYTL_ENGINE_KERNELS_SIMD_CONV2D_GRAD_INPUT_INL_H_
#undef TINYTL_ENGINE_KERNELS_SIMD_CONV2D_GRAD_INPUT_INL_H_
#else
#define TINYTL_ENGINE_KERNELS_SIMD_CONV2D_GRAD_INPUT_INL_H_
#endif

HWY_BEFORE_NAMESPACE();
namespace tinytl {
namespace HWY_NAMESPACE {

struct GradRows {
  GradRows(const tt_conv2d_shape& s, const Phase& h, const Phase& w)
      : cols(w.positions + w.reach), pitch(cols * s.out_c) {
    const int64_t fit =
        kRowsBytes / static_cast<int64_t>(sizeof(float)) / std::max<int64_t>(pitch, 1);
    in_rows = std::clamp<int64_t>(fit - h.reach, 1, std::max<int64_t>(h.positions, 1));
    elements = (in_rows + h.reach) * pitch;
  }
  int64_t cols, pitch, in_rows, elements;
};

inline Product input_product(const tt_conv2d_shape& s, const Phase& h, const Phase& w,
                             const GradRows& rows) {
  const int64_t tap = static_cast<int64_t>(s.in_c / s.groups) * s.out_c;
  return {.m = w.positions,
          .n = s.in_c / s.groups,
          .k2 = h.taps,
          .k1 = w.taps,
          .k0 = s.out_c / s.groups,
          .a_outer = rows.pitch,
          .a_row = s.out_c,
          .a_k2 = -h.out_step * rows.pitch,
          .a_k1 = -w.out_step * s.out_c,
          .a_k0 = 1,
          .b_k2 = h.step * s.kernel_w * tap,
          .b_k1 = w.step * tap,
          .b_k0 = 1,
          .b_col = s.out_c,
          .scale_by_row = true,
          .c_outer = static_cast<int64_t>(s.stride_h) * s.in_w * s.in_c,
          .c_row = static_cast<int64_t>(s.stride_w) * s.in_c};
}

inline Product pointwise_input_product(const tt_conv2d_shape& s, const tt_weights& w) {
  return {.m = pixels(s),
          .n = s.in_c,
          .k0 = s.out_c,
          .a_row = s.out_c,
          .a_k0 = 1,
          .b = w,
          .b_k0 = 1,
          .b_col = s.out_c,
          .scale_by_row = true,
          .c_row = s.in_c};
}

inline size_t conv2d_grad_input_scratch_bytes(const tt_conv2d_shape* s, int32_t is_q8) {
  const tt_weights kind = weights_of_kind(is_q8);
  if (is_pointwise(*s)) return product_scratch_bytes(pointwise_input_product(*s, kind));
  size_t bytes = 0;
  for_each_phase(*s, [&](const Phase& h, const Phase& w) {
    const GradRows rows(*s, h, w);
    Product p = input_product(*s, h, w, rows);
    p.b = kind;
    bytes = std::max(bytes, floats(rows.elements) + product_scratch_bytes(p));
  });
  return bytes;
}

inline void pointwise_grad_input(const tt_conv2d_shape& s, const float* dy, const tt_weights& w,
                                 const tt_epilogue* e, float* dx, void* scratch) {
  Product p = pointwise_input_product(s, w);
  p.a = dy;
  p.c = dx;
  p.result = dx;
  if (e) p.end = *e;
  multiply(p, scratch);
}

struct InputGrad {
  const tt_conv2d_shape& shape;
  const float* dy;
  const tt_weights& w;
  GroupEnd end;
  float* dx;
  float* scratch;
};

inline void phase_grad_input(const InputGrad& grad, const Phase& h, const Phase& w) {
  const tt_conv2d_shape& s = grad.shape;
  const GradRows rows(s, h, w);
  Product p = input_product(s, h, w, rows);
  p.result = grad.dx;
  const int64_t in_group = s.in_c / s.groups, out_group = s.out_c / s.groups;
  const int64_t first_tap = (h.first * s.kernel_w + w.first) * in_group * s.out_c;
  for (int64_t n = 0; n < s.batch; ++n) {
    const float* image = grad.dy + n * s.out_h * s.out_w * s.out_c;
    for (int64_t r = 0; r < h.positions; r += rows.in_rows) {
      p.m_outer = std::min(rows.in_rows, h.positions - r);
      copy_window(image, s.out_h, s.out_w, s.out_c,
                  {h.last_out + r, p.m_outer + h.reach, w.last_out, rows.cols}, grad.scratch);
      const int64_t row = (n * s.in_h + h.position + r * s.stride_h) * s.in_w + w.position;
      float* const first = grad.dx + row * s.in_c;
      for (int64_t g = 0; g < s.groups; ++g) {
        p.a = grad.scratch + h.reach * rows.pitch + w.reach * s.out_c + g * out_group;
        p.b = weights_from(grad.w, first_tap + g * out_group, g * out_group);
        p.end = grad.end.of_group(g * in_group);
        p.c = first + g * in_group;
        multiply(p, grad.scratch + rows.elements);
      }
      for (int64_t i = 0; grad.end.apart && i < p.m_outer; ++i) {
        float* const pixels = first + i * p.c_outer;
        finish_block(grad.end.all, p.m, s.in_c, p.c_row, pixels, pixels - grad.dx);
      }
    }
  }
}

inline void conv2d_grad_input(const tt_conv2d_shape* s, const float* dy, const tt_weights* w,
                              const tt_epilogue* e, float* dx, void* scratch) {
  if (is_pointwise(*s)) return pointwise_grad_input(*s, dy, *w, e, dx, scratch);
  const InputGrad grad{
      *s, dy, *w, GroupEnd(e, s->groups, s->in_c / s->groups), dx, static_cast<float*>(scratch)};
  for_each_phase(*s, [&](const Phase& h, const Phase& v) { phase_grad_input(grad, h, v); });
}

}  // namespace HWY_NAMESPACE
}  // namespace tinytl
HWY_AFTER_NAMESPACE();

#endif

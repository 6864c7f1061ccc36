// Convolutions of 8-bit integers (q_layer.h), x [N,H,W,C] i8, w kQ8, b i32:
//
//   y8 = y_zero + round((sum (x8 - x_zero) w8 + b) x_scale w_scale[o] / y_scale)
//
// limited to [y_low, y_high]: a convolution, its activation and the rounding of its result. The sum
// is that of Conv2d or DepthwiseConv2d; padding stands for 0.
//
// Gradients: those of the f32 layer, with the weights as they are. dw reads the 8-bit x:
//   QConv2dGradWeight(x8, dy), QDepthwiseConv2dGradWeight(x8, dy)   attributes also "shape" of dw
// x becomes f32 in scratch, some rows at a time.

#include <algorithm>

#include "engine/ops/conv2d_attributes.h"
#include "engine/ops/layer_parts.h"
#include "engine/ops/op_table.h"
#include "engine/ops/product.h"
#include "engine/ops/q_layer.h"

namespace tinytl {
namespace {

enum { kX, kW, kB };

template <bool kDepthwise>
OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 2 || in.size() == 3, node, in, "takes x, w and an optional bias");
  check(in[kX].dtype == DType::kI8 && in[kX].rank() == 4 && in[kW].dtype == DType::kQ8 &&
            in[kW].rank() == (kDepthwise ? 3 : 4),
        node, in, "x must be i8 of rank 4 and w q8");
  check_conv2d_attributes(node, in);
  check_levels(node, in);
  const tt_conv2d_shape s = conv2d_shape(node, in[kX].shape, in[kW].shape, kDepthwise);
  const bool fits = kDepthwise ? in[kX].dim(3) == in[kW].dim(2)
                               : s.groups > 0 && in[kX].dim(3) == in[kW].dim(2) * s.groups &&
                                     in[kW].dim(3) % s.groups == 0;
  check(fits, node, in, "channels of x, w and groups do not fit");
  check(s.out_h > 0 && s.out_w > 0, node, in, "the kernel is larger than the padded input");
  if (in.size() == 3) {
    check(in[kB] == TensorType{DType::kI32, {in[kW].shape.back()}}, node, in,
          "b needs one i32 per output channel");
  }
  return {{DType::kI8, {s.batch, s.out_h, s.out_w, s.out_c}}};
}

template <bool kDepthwise>
void forward(const Node& node, const KernelArgs& t) {
  const tt_conv2d_shape s = conv2d_shape(node, t.type(kX).shape, t.type(kW).shape, kDepthwise);
  const tt_requantize q = requantize_of(node, t, kW, kB);
  const int8_t* const w = t.weights(kW).q8;
  const auto kernel = kDepthwise ? t.kernels().depthwise_q8 : t.kernels().conv2d_q8;
  const Share rows = t.share(int64_t{s.batch} * s.out_h);
  for_each_run_of_rows(
      rows.begin, rows.end, s.out_h, [&](int64_t image, int32_t row, int32_t count) {
        const RowsPart part = forward_rows(s, row, count);
        const int8_t* x = t.i8(kX) + (image * s.in_h + part.first) * s.in_w * s.in_c;
        kernel(&part.shape, &q, x, w, t.out_i8() + (image * s.out_h + row) * s.out_w * s.out_c);
      });
}

Shape result_shape(const Node& node) {
  const auto shape = node.attributes.integers("shape");
  return {shape.begin(), shape.end()};
}

OutputTypes infer_grad_weight(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[0].dtype == DType::kI8 && in[0].rank() == 4 && in[1].rank() == 4, node,
        in, "takes x in i8 and dy, of rank 4");
  return {{DType::kF32, result_shape(node)}};
}

// Some rows of dy, and how many rows of x they read.
struct Strip {
  RowsPart part;
  int32_t x_rows;
};

Strip strip_of(const tt_conv2d_shape& s, int32_t row, int32_t count) {
  Strip strip{forward_rows(s, row, count), 0};
  const int32_t reach = (count - 1) * s.stride_h + (s.kernel_h - 1) * s.dilation_h + 1;
  strip.x_rows = std::clamp(reach - strip.part.shape.pad_top, 1, strip.part.shape.in_h);
  strip.part.shape.in_h = strip.x_rows;
  return strip;
}

// Rows of dy at a time, so that those of x are about as many floats as fit into a fast cache.
int32_t strip_rows(const tt_conv2d_shape& s) {
  constexpr int64_t kFloats = 4096;
  const int64_t x_rows = std::max<int64_t>(1, kFloats / (int64_t{s.in_w} * s.in_c));
  const int64_t reach = int64_t{s.kernel_h - 1} * s.dilation_h;
  return static_cast<int32_t>(
      std::clamp<int64_t>((x_rows - reach) / s.stride_h, 1, std::max(1, s.out_h)));
}

// Of x in f32, before the scratch of the kernel.
size_t strip_floats(const tt_conv2d_shape& s) {
  const int64_t rows = std::min<int64_t>(
      s.in_h, int64_t{strip_rows(s) - 1} * s.stride_h + int64_t{s.kernel_h - 1} * s.dilation_h + 1);
  return static_cast<size_t>((rows * s.in_w * s.in_c + 15) / 16 * 16);
}

template <bool kDepthwise>
size_t grad_weight_scratch(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const tt_conv2d_shape s = conv2d_shape(node, in[0].shape, result_shape(node), kDepthwise);
  size_t kernel = 0;
  if (!kDepthwise && is_pointwise(s)) {
    const int64_t pixels = int64_t{strip_rows(s)} * s.out_w;
    kernel = product_scratch(weight_product(pixels, s.in_c, s.out_c), in[1], kernels);
  } else if (!kDepthwise) {
    kernel = kernels.conv2d_grad_weight_scratch_bytes(&s);
  }
  return strip_floats(s) * sizeof(float) + kernel;
}

template <bool kDepthwise>
void grad_weight(const Node& node, const KernelArgs& t) {
  const tt_conv2d_shape s = conv2d_shape(node, t.type(0).shape, t.out_type().shape, kDepthwise);
  const float scale = node.attributes.number("x_scale");
  const auto zero = static_cast<int32_t>(node.attributes.integer("x_zero"));
  auto* const x = static_cast<float*>(t.scratch());
  float* const scratch = x + strip_floats(s);
  const int32_t step = strip_rows(s);
  int32_t accumulate = 0;
  for (int32_t image = 0; image < s.batch; ++image) {
    for (int32_t row = 0; row < s.out_h; row += step) {
      const Strip strip = strip_of(s, row, std::min(step, s.out_h - row));
      const tt_conv2d_shape& part = strip.part.shape;
      t.kernels().dequantize_q8(
          t.i8(0) + (int64_t{image} * s.in_h + strip.part.first) * s.in_w * s.in_c,
          int64_t{strip.x_rows} * s.in_w * s.in_c, scale, zero, x);
      const float* dy = t.f32(1) + (int64_t{image} * s.out_h + row) * s.out_w * s.out_c;
      if (kDepthwise) {
        t.kernels().depthwise_grad_weight(&part, x, dy, 1.0f, accumulate, t.out_f32());
      } else if (is_pointwise(s)) {
        tt_gemm g = weight_product(int64_t{part.out_h} * s.out_w, s.in_c, s.out_c);
        g.a = x;
        g.b.f32 = dy;
        g.c = t.out_f32();
        g.accumulate = accumulate;
        t.kernels().gemm(&g, scratch);
      } else {
        t.kernels().conv2d_grad_weight(&part, x, dy, 1.0f, accumulate, t.out_f32(), scratch);
      }
      accumulate = 1;
    }
  }
}

void conv_vjp(GradBuilder& grad) {
  quantized_layer_vjp(grad, kConv2dGradInput, kQConv2dGradWeight);
}
void depthwise_vjp(GradBuilder& grad) {
  quantized_layer_vjp(grad, kDepthwiseConv2dGradInput, kQDepthwiseConv2dGradWeight);
}

}  // namespace

const OpDef kQConv2d{.name = "QConv2d",
                     .infer = infer<false>,
                     .forward = forward<false>,
                     .vjp = conv_vjp,
                     .slices_weight = true,
                     .divides = true};
const OpDef kQDepthwiseConv2d{.name = "QDepthwiseConv2d",
                              .infer = infer<true>,
                              .forward = forward<true>,
                              .vjp = depthwise_vjp,
                              .slices_weight = true,
                              .divides = true};
const OpDef kQConv2dGradWeight{.name = "QConv2dGradWeight",
                               .infer = infer_grad_weight,
                               .forward = grad_weight<false>,
                               .scratch_bytes = grad_weight_scratch<false>};
const OpDef kQDepthwiseConv2dGradWeight{.name = "QDepthwiseConv2dGradWeight",
                                        .infer = infer_grad_weight,
                                        .forward = grad_weight<true>,
                                        .scratch_bytes = grad_weight_scratch<true>};

}  // namespace tinytl

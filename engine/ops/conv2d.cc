// Convolution: y[n,p,q,o] = b[o] + sum_{i,j,c} x[n, p sh + i dh - top, q sw + j dw - left, c]
// w[i,j,c,o]
//
// Gradients:  dx = Conv2dGradInput(dy, w)   dw = Conv2dGradWeight(x, dy)   db = sum of dy per
// channel
//
// Only dw reads x: with the weight frozen, x is not kept for the backward pass (Cai et al., TinyTL,
// NeurIPS 2020). Layouts: x NHWC, w [kh,kw,ci/groups,co].
//
// A 1x1 convolution with as many channels out as in may write y over x (pointwise_rows.h).
//
// Attributes low and high limit y, and mask adds a bit mask as output 1 (op_helpers.h). w may have
// 8 bits.

#include "engine/ops/conv2d_attributes.h"
#include "engine/ops/layer_parts.h"
#include "engine/ops/op_table.h"
#include "engine/ops/pointwise_rows.h"
#include "engine/ops/product.h"

namespace tinytl {
namespace {

enum { kX, kW, kB };

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 2 || in.size() == 3, node, in, "takes x, w and an optional bias");
  check(in[kX].rank() == 4 && in[kW].rank() == 4, node, in, "x and w must have rank 4");
  check_conv2d_attributes(node, in);
  const tt_conv2d_shape s = conv2d_shape(node, in[kX].shape, in[kW].shape, false);
  check(s.groups > 0 && in[kX].dim(3) == in[kW].dim(2) * s.groups && in[kW].dim(3) % s.groups == 0,
        node, in, "channels of x, w and groups do not fit");
  check(s.out_h > 0 && s.out_w > 0, node, in, "the kernel is larger than the padded input");
  if (in.size() == 3) {
    check(in[kB].shape == Shape{in[kW].dim(3)}, node, in, "b needs one entry per output channel");
  }
  return with_mask(node, in, {DType::kF32, {s.batch, s.out_h, s.out_w, s.out_c}});
}

int64_t pixels(const tt_conv2d_shape& s) { return int64_t{s.batch} * s.out_h * s.out_w; }

tt_gemm pointwise_product(const tt_conv2d_shape& s) {
  return layer_product(pixels(s), s.in_c, s.out_c, /*transposed=*/false);
}

size_t scratch_bytes(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const tt_conv2d_shape s = conv2d_shape(node, in[kX].shape, in[kW].shape, false);
  if (is_pointwise(s)) return product_scratch(pointwise_product(s), in[kW], kernels);
  return kernels.conv2d_scratch_bytes(&s, in[kW].dtype == DType::kQ8);
}

// As small as they may be: the kernel lays out nothing anew for each, or little.
std::optional<tt_conv2d_shape> block_of(const tt_conv2d_shape& s) {
  return pointwise_block(s, INT64_MAX / 2);
}

std::optional<size_t> in_place_scratch(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const auto block = block_of(conv2d_shape(node, in[kX].shape, in[kW].shape, false));
  if (!block.has_value()) return std::nullopt;
  const tt_gemm g = pointwise_product(*block);
  return pointwise_in_place_scratch(*block, product_scratch(g, in[kW], kernels));
}

void forward(const Node& node, const KernelArgs& t) {
  const tt_conv2d_shape s = conv2d_shape(node, t.type(kX).shape, t.type(kW).shape, false);
  const float* x = t.f32(kX);
  const tt_weights w = t.weights(kW);
  const tt_epilogue epilogue = epilogue_of(node, t, kB);
  if (is_pointwise(s)) {
    tt_gemm g = pointwise_product(s);
    g.a = x;
    g.b = w;
    g.c = t.out_f32();
    g.epilogue = epilogue;
    return g.c == x ? run_over_pixels(t, *block_of(s), g) : run_product(t, g);
  }
  const Share rows = t.share(int64_t{s.batch} * s.out_h);
  for_each_run_of_rows(
      rows.begin, rows.end, s.out_h, [&](int64_t image, int32_t row, int32_t count) {
        const RowsPart part = forward_rows(s, row, count);
        const int64_t from = (image * s.in_h + part.first) * s.in_w * s.in_c;
        const int64_t to = (image * s.out_h + row) * s.out_w * s.out_c;
        const tt_epilogue end = shifted(epilogue, to);
        t.kernels().conv2d(&part.shape, x + from, &w, &end, t.out_f32() + to, t.scratch());
      });
}

void vjp(GradBuilder& grad) { conv2d_vjp(grad, kConv2dGradInput, kConv2dGradWeight); }

}  // namespace

const OpDef kConv2d{.name = "Conv2d",
                    .infer = infer,
                    .forward = forward,
                    .vjp = vjp,
                    .slices_weight = true,
                    .divides = true,
                    .scratch_bytes = scratch_bytes,
                    .in_place = 0b1,
                    .in_place_scratch = in_place_scratch};

}  // namespace tinytl

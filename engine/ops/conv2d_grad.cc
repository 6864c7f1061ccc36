// The two gradients of convolution. Attributes: those of the convolution, and "shape" of the
// result.
//
//   Conv2dGradInput(dy, w):
//     dx[n,h,v,c] = sum over the (p,q,i,j) that read it of dy[n,p,q,o] w[i,j,c,o]
//   Conv2dGradWeight(x, dy):
//     dw[i,j,c,o] = sum_{n,p,q} x[n, p sh + i dh - top, q sw + j dw - left, c] dy[n,p,q,o]
//   Conv2dGradWeightAdd(sum, x, dy): sum += "factor" dw
//
// As with the convolution, dx may lie over dy where the kernel is 1x1 and the sizes agree, w may
// have 8 bits, and attribute keep says where dx is not 0. dy and dx of Conv2dGradInput may be
// kRow8.

#include "engine/ops/layer_parts.h"
#include "engine/ops/op_table.h"
#include "engine/ops/pointwise_rows.h"
#include "engine/ops/product.h"
#include "engine/ops/row8_layers.h"

namespace tinytl {
namespace {

Shape result_shape(const Node& node) {
  const auto shape = node.attributes.integers("shape");
  return {shape.begin(), shape.end()};
}

tt_conv2d_shape shape_of_input_grad(const Node& node, const Shape& w) {
  const auto x = node.attributes.integers("shape");
  return conv2d_shape(node, Shape(x.begin(), x.end()), w, false);
}

}  // namespace

namespace grad_input {

enum { kDy, kW };

OutputTypes infer(const Node& node, InputTypes in) {
  check(own_inputs(node, in) == 2 && in[kDy].rank() == 4 && in[kW].rank() == 4, node, in,
        "takes dy and w of rank 4");
  return with_mask(node, in, gradient_result(node, result_shape(node)));
}

tt_gemm pointwise_product(const tt_conv2d_shape& s) {
  return layer_product(int64_t{s.batch} * s.in_h * s.in_w, s.out_c, s.in_c, /*transposed=*/true);
}

size_t scratch_bytes(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const tt_conv2d_shape s = shape_of_input_grad(node, in[kW].shape);
  const bool is_q8 = in[kW].dtype == DType::kQ8;
  if (has_row8(node, in)) {
    const Row8Sides sides{is_row8(in[kDy]), writes_row8(node)};
    return is_pointwise(s) ? row8_product_scratch(pointwise_product(s), in[kW], sides, kernels)
                           : row8_conv2d_scratch(s, is_q8, sides, kernels);
  }
  if (is_pointwise(s)) return product_scratch(pointwise_product(s), in[kW], kernels);
  return kernels.conv2d_grad_input_scratch_bytes(&s, is_q8);
}

// The kernel lays out the weights anew for each: few of them.
std::optional<tt_conv2d_shape> block_of(const tt_conv2d_shape& s) { return pointwise_block(s, 4); }

std::optional<size_t> in_place_scratch(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const auto block = block_of(shape_of_input_grad(node, in[kW].shape));
  if (!block.has_value()) return std::nullopt;
  if (has_row8(node, in)) return scratch_bytes(node, in, kernels);
  const tt_gemm g = pointwise_product(*block);
  return pointwise_in_place_scratch(*block, product_scratch(g, in[kW], kernels));
}

void forward(const Node& node, const KernelArgs& t) {
  const tt_conv2d_shape s = conv2d_shape(node, t.out_type().shape, t.type(kW).shape, false);
  const float* dy = t.f32(kDy);
  const tt_weights w = t.weights(kW);
  const tt_epilogue epilogue = epilogue_of(node, t);
  const bool in_8_bits = has_row8(node, t);
  if (is_pointwise(s)) {
    tt_gemm g = pointwise_product(s);
    g.a = dy;
    g.b = w;
    g.c = t.out_f32();
    g.epilogue = epilogue;
    if (in_8_bits) return row8_product(t, g, kDy, std::nullopt);
    return g.c == dy ? run_over_pixels(t, *block_of(s), g) : run_product(t, g);
  }
  if (in_8_bits) return row8_conv2d_grad_input(t, s, epilogue);
  const Share rows = t.share(int64_t{s.batch} * s.in_h, s.stride_h);
  for_each_run_of_rows(rows.begin, rows.end, s.in_h,
                       [&](int64_t image, int32_t row, int32_t count) {
                         const RowsPart part = grad_input_rows(s, row, count);
                         const int64_t from = (image * s.out_h + part.first) * s.out_w * s.out_c;
                         const int64_t to = (image * s.in_h + row) * s.in_w * s.in_c;
                         const tt_epilogue end = shifted(epilogue, to);
                         t.kernels().conv2d_grad_input(&part.shape, dy + from, &w, &end,
                                                       t.out_f32() + to, t.scratch());
                       });
}

}  // namespace grad_input

namespace grad_weight {

// (x, dy), or (sum, x, dy) where the gradient is added to a sum.
bool is_added(const Node& node) { return node.attributes.has("factor"); }

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[0].rank() == 4 && in[1].rank() == 4, node, in,
        "takes x and dy of rank 4");
  return {{DType::kF32, result_shape(node)}};
}

OutputTypes infer_added(const Node& node, InputTypes in) {
  check(
      in.size() == 3 && in[0].shape == result_shape(node) && in[1].rank() == 4 && in[2].rank() == 4,
      node, in, "takes a sum, x and dy of rank 4");
  return {};
}

tt_gemm pointwise_product(const tt_conv2d_shape& s) {
  return weight_product(int64_t{s.batch} * s.out_h * s.out_w, s.in_c, s.out_c);
}

size_t scratch_bytes(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const Shape& x = in[is_added(node) ? 1 : 0].shape;
  const tt_conv2d_shape s = conv2d_shape(node, x, result_shape(node), false);
  if (is_pointwise(s)) return product_scratch(pointwise_product(s), in.back(), kernels);
  return kernels.conv2d_grad_weight_scratch_bytes(&s);
}

void forward(const Node& node, const KernelArgs& t) {
  const bool added = is_added(node);
  const size_t x = added ? 1 : 0, dy = x + 1;
  const float factor = added ? node.attributes.number("factor") : 1.0f;
  float* const dw = added ? t.mutable_f32(0) : t.out_f32();
  const TensorType& result = added ? t.type(0) : t.out_type();
  tt_conv2d_shape s = conv2d_shape(node, t.type(x).shape, result.shape, false);
  if (is_pointwise(s)) {
    tt_gemm g = pointwise_product(s);
    g.a = t.f32(x);
    g.b.f32 = t.f32(dy);
    g.factor = factor;
    g.accumulate = added ? 1 : 0;
    g.c = dw;
    return run_product(t, g);
  }
  // In parts by output channels, which no group must cut.
  constexpr int64_t kChannelGrain = 16;
  const Share channels = t.share(s.out_c, s.groups == 1 ? kChannelGrain : s.out_c);
  if (channels.size() == 0) return;
  s.pitch = channels.size() < s.out_c ? s.out_c : 0;
  s.out_c = static_cast<int32_t>(channels.size());
  t.kernels().conv2d_grad_weight(&s, t.f32(x), t.f32(dy) + channels.begin, factor, added ? 1 : 0,
                                 dw + channels.begin, t.scratch());
}

}  // namespace grad_weight

const OpDef kConv2dGradInput{.name = "Conv2dGradInput",
                             .infer = grad_input::infer,
                             .forward = grad_input::forward,
                             .divides = true,
                             .scratch_bytes = grad_input::scratch_bytes,
                             .reads_row8 = 0b1,
                             .writes_row8 = true,
                             .in_place = 0b1,
                             .in_place_scratch = grad_input::in_place_scratch};

const OpDef kConv2dGradWeight{.name = "Conv2dGradWeight",
                              .infer = grad_weight::infer,
                              .forward = grad_weight::forward,
                              .divides = true,
                              .scratch_bytes = grad_weight::scratch_bytes};

const OpDef kConv2dGradWeightAdd{.name = "Conv2dGradWeightAdd",
                                 .infer = grad_weight::infer_added,
                                 .forward = grad_weight::forward,
                                 .divides = true,
                                 .scratch_bytes = grad_weight::scratch_bytes,
                                 .mutates = 0b1};

}  // namespace tinytl

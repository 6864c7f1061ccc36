// The two gradients of convolution. Attributes: those of the convolution, and "shape" of the
// result.
//
//   Conv2dGradInput(dy, w):  dx[n,h,v,c] = sum over the (p,q,i,j) that read it of dy[n,p,q,o]
//   w[i,j,c,o] Conv2dGradWeight(x, dy): dw[i,j,c,o] = sum_{n,p,q} x[n, p sh + i dh - top, q sw + j
//   dw - left, c] dy[n,p,q,o]
//
// As with the convolution, dx may lie over dy where the kernel is 1x1 and the sizes agree.

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"
#include "engine/ops/pointwise_rows.h"

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
  check(in.size() == 2 && in[kDy].rank() == 4 && in[kW].rank() == 4, node, in,
        "takes dy and w of rank 4");
  return {{DType::kF32, result_shape(node)}};
}

size_t scratch_bytes(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const tt_conv2d_shape s = shape_of_input_grad(node, in[kW].shape);
  return kernels.conv2d_grad_input_scratch_bytes(&s);
}

// The kernel lays out the weights anew for each: few of them.
std::optional<tt_conv2d_shape> block_of(const tt_conv2d_shape& s) { return pointwise_block(s, 4); }

std::optional<size_t> in_place_scratch(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const auto block = block_of(shape_of_input_grad(node, in[kW].shape));
  if (!block.has_value()) return std::nullopt;
  return pointwise_in_place_scratch(*block, kernels.conv2d_grad_input_scratch_bytes(&*block));
}

void forward(const Node& node, const KernelArgs& t) {
  const tt_conv2d_shape s = conv2d_shape(node, t.out_type().shape, t.type(kW).shape, false);
  const float *dy = t.f32(kDy), *w = t.f32(kW);
  if (t.out_f32() != dy) {
    return t.kernels().conv2d_grad_input(&s, dy, w, t.out_f32(), t.scratch());
  }
  run_over_pixels(t.out_f32(), s, *block_of(s), static_cast<float*>(t.scratch()),
                  [&](const tt_conv2d_shape& block, const float* from, float* to, void* scratch) {
                    t.kernels().conv2d_grad_input(&block, from, w, to, scratch);
                  });
}

}  // namespace grad_input

namespace grad_weight {

enum { kX, kDy };

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[kX].rank() == 4 && in[kDy].rank() == 4, node, in,
        "takes x and dy of rank 4");
  return {{DType::kF32, result_shape(node)}};
}

size_t scratch_bytes(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const tt_conv2d_shape s = conv2d_shape(node, in[kX].shape, result_shape(node), false);
  return kernels.conv2d_grad_weight_scratch_bytes(&s);
}

void forward(const Node& node, const KernelArgs& t) {
  const tt_conv2d_shape s = conv2d_shape(node, t.type(kX).shape, t.out_type().shape, false);
  t.kernels().conv2d_grad_weight(&s, t.f32(kX), t.f32(kDy), t.out_f32(), t.scratch());
}

}  // namespace grad_weight

const OpDef kConv2dGradInput{.name = "Conv2dGradInput",
                             .infer = grad_input::infer,
                             .forward = grad_input::forward,
                             .scratch_bytes = grad_input::scratch_bytes,
                             .in_place = 0b1,
                             .in_place_scratch = grad_input::in_place_scratch};

const OpDef kConv2dGradWeight{.name = "Conv2dGradWeight",
                              .infer = grad_weight::infer,
                              .forward = grad_weight::forward,
                              .scratch_bytes = grad_weight::scratch_bytes};

}  // namespace tinytl

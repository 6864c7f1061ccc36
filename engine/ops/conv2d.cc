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

#include "engine/ops/conv2d_attributes.h"
#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"
#include "engine/ops/pointwise_rows.h"

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
  return {{DType::kF32, {s.batch, s.out_h, s.out_w, s.out_c}}};
}

size_t scratch_bytes(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const tt_conv2d_shape s = conv2d_shape(node, in[kX].shape, in[kW].shape, false);
  return kernels.conv2d_scratch_bytes(&s);
}

// As small as they may be: the kernel lays out nothing anew for each, or little.
std::optional<tt_conv2d_shape> block_of(const tt_conv2d_shape& s) {
  return pointwise_block(s, INT64_MAX / 2);
}

std::optional<size_t> in_place_scratch(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const auto block = block_of(conv2d_shape(node, in[kX].shape, in[kW].shape, false));
  if (!block.has_value()) return std::nullopt;
  return pointwise_in_place_scratch(*block, kernels.conv2d_scratch_bytes(&*block));
}

void forward(const Node& node, const KernelArgs& t) {
  const tt_conv2d_shape s = conv2d_shape(node, t.type(kX).shape, t.type(kW).shape, false);
  const float *x = t.f32(kX), *w = t.f32(kW), *b = t.inputs() > kB ? t.f32(kB) : nullptr;
  if (t.out_f32() != x) return t.kernels().conv2d(&s, x, w, b, t.out_f32(), t.scratch());
  run_over_pixels(t.out_f32(), s, *block_of(s), static_cast<float*>(t.scratch()),
                  [&](const tt_conv2d_shape& block, const float* from, float* to, void* scratch) {
                    t.kernels().conv2d(&block, from, w, b, to, scratch);
                  });
}

void vjp(GradBuilder& grad) { conv2d_vjp(grad, kConv2dGradInput, kConv2dGradWeight); }

}  // namespace

const OpDef kConv2d{.name = "Conv2d",
                    .infer = infer,
                    .forward = forward,
                    .vjp = vjp,
                    .scratch_bytes = scratch_bytes,
                    .in_place = 0b1,
                    .in_place_scratch = in_place_scratch};

}  // namespace tinytl

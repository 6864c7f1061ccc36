// Convolution: y[n,p,q,o] = b[o] + sum_{i,j,c} x[n, p sh + i dh - top, q sw + j dw - left, c]
// w[i,j,c,o]
//
// Gradients:  dx = Conv2dGradInput(dy, w)   dw = Conv2dGradWeight(x, dy)   db = sum of dy per
// channel
//
// Only dw reads x: with the weight frozen, x is not kept for the backward pass (Cai et al., TinyTL,
// NeurIPS 2020). Layouts: x NHWC, w [kh,kw,ci/groups,co].

#include "engine/ops/conv2d_attributes.h"
#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

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

void forward(const Node& node, const KernelArgs& t) {
  const tt_conv2d_shape s = conv2d_shape(node, t.type(kX).shape, t.type(kW).shape, false);
  t.kernels().conv2d(&s, t.f32(kX), t.f32(kW), t.inputs() > kB ? t.f32(kB) : nullptr, t.out_f32(),
                     t.scratch());
}

void vjp(GradBuilder& grad) { conv2d_vjp(grad, kConv2dGradInput, kConv2dGradWeight); }

}  // namespace

const OpDef kConv2d{.name = "Conv2d",
                    .infer = infer,
                    .forward = forward,
                    .vjp = vjp,
                    .scratch_bytes = scratch_bytes};

}  // namespace tinytl

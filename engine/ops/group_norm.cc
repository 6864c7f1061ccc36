// GroupNorm of x[N,H,W,C] (or [N,C]) over the pixels and C / "groups" channels of each group of
// each sample (Wu and He, ECCV 2018):
//   y = scale n + bias,   n = (x - mean) r,   r = 1 / sqrt(variance + "epsilon")
//
// Gradients, g = dy scale, means over the group:
//   dx = r (g - mean(g) - n mean(g n))       GroupNormGradInput(dy, x, scale)
//   dscale = sum of dy n over all but C      GroupNormGradScale(dy, x)
//   dbias = sum of dy over all but C
//
// dx and dscale save x and recompute mean and r from it: nothing is saved beside x. A group norm
// keeps its input even where scale and bias are frozen: that is the price of not being affine.

#include <algorithm>

#include "engine/ops/norm.h"
#include "engine/ops/op_helpers.h"

namespace tinytl {
namespace {

int64_t channels_of_group(const Node& node, const TensorType& x) {
  return columns_of(x) / node.attributes.integer("groups");
}

int64_t pixels_of(const TensorType& x) { return rows_of(x) / x.dim(0); }

tt_group_norm shape_of(const Node& node, const TensorType& x) {
  return {pixels_of(x), static_cast<int32_t>(columns_of(x)),
          static_cast<int32_t>(channels_of_group(node, x)), node.attributes.number("epsilon")};
}

// This part of `groups`, in strips of channels where they have fewer than one.
Share share_of(const KernelArgs& t, const tt_group_norm& s, int64_t groups) {
  return t.share(groups, std::max<int64_t>(1, 64 / s.group));
}

void check_input(const Node& node, InputTypes in, const TensorType& x) {
  check(x.dtype == DType::kF32 && (x.rank() == 2 || x.rank() == 4) && x.elements() > 0, node, in,
        "x must be [N,H,W,C] or [N,C] of f32");
  const int64_t groups = node.attributes.integer("groups");
  check(groups > 0 && columns_of(x) % groups == 0, node, in,
        "the channels of x cannot be divided into " + std::to_string(groups) + " groups");
  check(node.attributes.number("epsilon") >= 0.0f, node, in, "epsilon must not be negative");
}

bool is_by_channel(const TensorType& type, const TensorType& x) {
  return type == TensorType{DType::kF32, {columns_of(x)}};
}

}  // namespace

namespace group_norm {

enum { kX, kScale, kBias };

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 3, node, in, "takes x, scale and bias");
  check_input(node, in, in[kX]);
  check(is_by_channel(in[kScale], in[kX]) && is_by_channel(in[kBias], in[kX]), node, in,
        "scale and bias need one entry per channel of x");
  return {in[kX]};
}

void forward(const Node& node, const KernelArgs& t) {
  const tt_group_norm s = shape_of(node, t.type(kX));
  const Share share = share_of(t, s, t.type(kX).dim(0) * (s.channels / s.group));
  t.kernels().group_norm(&s, share.begin, share.end, t.f32(kX), t.f32(kScale), t.f32(kBias),
                         nullptr, t.out_f32());
}

void vjp(GradBuilder& grad) { norm_vjp(grad, kGroupNormGradInput, kGroupNormGradScale); }

}  // namespace group_norm

namespace group_norm_grad {

enum { kDy, kX, kScale };

OutputTypes infer_input(const Node& node, InputTypes in) {
  check(in.size() == 3 && in[kDy] == in[kX], node, in, "takes dy, x and scale");
  check_input(node, in, in[kX]);
  check(is_by_channel(in[kScale], in[kX]), node, in, "scale needs one entry per channel of x");
  return {in[kDy]};
}

void grad_input(const Node& node, const KernelArgs& t) {
  const tt_group_norm s = shape_of(node, t.type(kX));
  const Share share = share_of(t, s, t.type(kX).dim(0) * (s.channels / s.group));
  t.kernels().group_norm_grad_input(&s, share.begin, share.end, t.f32(kDy), t.f32(kX),
                                    t.f32(kScale), t.out_f32());
}

OutputTypes infer_scale(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[kDy] == in[kX], node, in, "takes dy and x of one type");
  check_input(node, in, in[kX]);
  return {{DType::kF32, {columns_of(in[kX])}}};
}

void grad_scale(const Node& node, const KernelArgs& t) {
  const tt_group_norm s = shape_of(node, t.type(kX));
  const Share share = share_of(t, s, s.channels / s.group);
  t.kernels().group_norm_grad_scale(&s, t.type(kX).dim(0), share.begin, share.end, t.f32(kDy),
                                    t.f32(kX), t.out_f32());
}

}  // namespace group_norm_grad

const OpDef kGroupNorm{.name = "GroupNorm",
                       .infer = group_norm::infer,
                       .forward = group_norm::forward,
                       .vjp = group_norm::vjp,
                       .divides = true,
                       .in_place = 1};
const OpDef kGroupNormGradInput{.name = "GroupNormGradInput",
                                .infer = group_norm_grad::infer_input,
                                .forward = group_norm_grad::grad_input,
                                .divides = true,
                                .in_place = 0b11};
const OpDef kGroupNormGradScale{.name = "GroupNormGradScale",
                                .infer = group_norm_grad::infer_scale,
                                .forward = group_norm_grad::grad_scale,
                                .divides = true};

}  // namespace tinytl

// BatchNorm of x[N,H,W,C] (or [N,C]) over all but C (Ioffe and Szegedy, ICML 2015):
//   y = scale n + bias,   n = (x - m) r,   r = 1 / sqrt(v + "epsilon")
// with mean m and (biased) variance v of the batch. Moves the running statistics that inference
// uses, as PyTorch does, for k numbers a channel:
//   mean += 0.1 (m - mean),   var += 0.1 (v k / (k - 1) - var)
//
// Gradients, g = dy scale, means over the batch:
//   dx = r (g - mean(g) - n mean(g n))       BatchNormGradInput(dy, x, scale)
//   dscale = sum of dy n over all but C      BatchNormGradScale(dy, x)
//   dbias = sum of dy over all but C
// They save x and recompute m and r from it. All are those of a group norm of one channel a group
// for which the batch is one sample, and run its kernels.
//
// BatchNormInference: y = (x - mean) / sqrt(var + "epsilon") scale + bias with the running
// statistics. It has no gradient: a network trains as BatchNorm.

#include <cmath>

#include "engine/ops/norm.h"
#include "engine/ops/op_helpers.h"

namespace tinytl {
namespace {

tt_group_norm shape_of(const Node& node, const TensorType& x) {
  return {rows_of(x), static_cast<int32_t>(columns_of(x)), 1, node.attributes.number("epsilon")};
}

// This part of the channels.
Share share_of(const KernelArgs& t, const tt_group_norm& s) { return t.share(s.channels, 64); }

void check_input(const Node& node, InputTypes in, const TensorType& x) {
  check(x.dtype == DType::kF32 && (x.rank() == 2 || x.rank() == 4) && x.elements() > 0, node, in,
        "x must be [N,H,W,C] or [N,C] of f32");
  check(node.attributes.number("epsilon") >= 0.0f, node, in, "epsilon must not be negative");
}

void check_varies(const Node& node, InputTypes in, const TensorType& x) {
  check(rows_of(x) > 1, node, in,
        "a batch of one number a channel has no variance; use a larger batch, or --norm folded");
}

bool is_by_channel(const TensorType& type, const TensorType& x) {
  return type == TensorType{DType::kF32, {columns_of(x)}};
}

}  // namespace

namespace batch_norm {

enum { kX, kScale, kBias, kMean, kVariance };

OutputTypes infer_inference(const Node& node, InputTypes in) {
  check(in.size() == 5, node, in, "takes x, scale, bias, mean and variance");
  check_input(node, in, in[kX]);
  for (size_t i = kScale; i <= kVariance; ++i) {
    check(is_by_channel(in[i], in[kX]), node, in,
          "scale, bias, mean and variance need one entry per channel of x");
  }
  return {in[kX]};
}

OutputTypes infer(const Node& node, InputTypes in) {
  const OutputTypes types = infer_inference(node, in);
  check_varies(node, in, in[kX]);
  return types;
}

// Two numbers a channel: mean and variance of the batch, or factor and shift of inference.
size_t scratch_bytes(const Node&, InputTypes in, const tt_kernels&) {
  return 2 * sizeof(float) * static_cast<size_t>(columns_of(in[kX]));
}

void forward(const Node& node, const KernelArgs& t) {
  constexpr float kMomentum = 0.1f;
  const tt_group_norm s = shape_of(node, t.type(kX));
  const Share share = share_of(t, s);
  auto* moments = static_cast<float*>(t.scratch());
  t.kernels().group_norm(&s, share.begin, share.end, t.f32(kX), t.f32(kScale), t.f32(kBias),
                         moments, t.out_f32());
  const auto count = static_cast<float>(s.pixels);
  float *mean = t.mutable_f32(kMean), *variance = t.mutable_f32(kVariance);
  for (int64_t c = share.begin; c < share.end; ++c) {
    const float unbiased = moments[2 * c + 1] * (count / (count - 1));
    mean[c] += kMomentum * (moments[2 * c] - mean[c]);
    variance[c] += kMomentum * (unbiased - variance[c]);
  }
}

void vjp(GradBuilder& grad) { norm_vjp(grad, kBatchNormGradInput, kBatchNormGradScale); }

void inference(const Node& node, const KernelArgs& t) {
  const int64_t channels = columns_of(t.type(kX));
  const float epsilon = node.attributes.number("epsilon");
  auto* factor = static_cast<float*>(t.scratch());
  float* shift = factor + channels;
  for (int64_t c = 0; c < channels; ++c) {
    factor[c] = t.f32(kScale)[c] / std::sqrt(t.f32(kVariance)[c] + epsilon);
    shift[c] = t.f32(kBias)[c] - t.f32(kMean)[c] * factor[c];
  }
  const Share rows = t.share(rows_of(t.type(kX)));
  const tt_operand x{t.f32(kX) + rows.begin * channels, channels, 1};
  float* y = t.out_f32() + rows.begin * channels;
  const tt_operand by_channel{factor, 0, 1}, shift_by_channel{shift, 0, 1}, scaled{y, channels, 1};
  t.kernels().combine(TT_MUL, &x, &by_channel, rows.size(), channels, y);
  t.kernels().combine(TT_ADD, &scaled, &shift_by_channel, rows.size(), channels, y);
}

}  // namespace batch_norm

namespace batch_norm_grad {

enum { kDy, kX, kScale };

OutputTypes infer_input(const Node& node, InputTypes in) {
  check(in.size() == 3 && in[kDy] == in[kX], node, in, "takes dy, x and scale");
  check_input(node, in, in[kX]);
  check_varies(node, in, in[kX]);
  check(is_by_channel(in[kScale], in[kX]), node, in, "scale needs one entry per channel of x");
  return {in[kDy]};
}

void grad_input(const Node& node, const KernelArgs& t) {
  const tt_group_norm s = shape_of(node, t.type(kX));
  const Share share = share_of(t, s);
  t.kernels().group_norm_grad_input(&s, share.begin, share.end, t.f32(kDy), t.f32(kX),
                                    t.f32(kScale), t.out_f32());
}

OutputTypes infer_scale(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[kDy] == in[kX], node, in, "takes dy and x of one type");
  check_input(node, in, in[kX]);
  check_varies(node, in, in[kX]);
  return {{DType::kF32, {columns_of(in[kX])}}};
}

void grad_scale(const Node& node, const KernelArgs& t) {
  const tt_group_norm s = shape_of(node, t.type(kX));
  const Share share = share_of(t, s);
  t.kernels().group_norm_grad_scale(&s, /*samples=*/1, share.begin, share.end, t.f32(kDy),
                                    t.f32(kX), t.out_f32());
}

}  // namespace batch_norm_grad

const OpDef kBatchNorm{.name = "BatchNorm",
                       .infer = batch_norm::infer,
                       .forward = batch_norm::forward,
                       .vjp = batch_norm::vjp,
                       .divides = true,
                       .scratch_bytes = batch_norm::scratch_bytes,
                       .in_place = 1,
                       .mutates = 0b11000};
const OpDef kBatchNormGradInput{.name = "BatchNormGradInput",
                                .infer = batch_norm_grad::infer_input,
                                .forward = batch_norm_grad::grad_input,
                                .divides = true,
                                .in_place = 0b11};
const OpDef kBatchNormGradScale{.name = "BatchNormGradScale",
                                .infer = batch_norm_grad::infer_scale,
                                .forward = batch_norm_grad::grad_scale,
                                .divides = true};
const OpDef kBatchNormInference{.name = "BatchNormInference",
                                .infer = batch_norm::infer_inference,
                                .forward = batch_norm::inference,
                                .divides = true,
                                .scratch_bytes = batch_norm::scratch_bytes,
                                .in_place = 1};

}  // namespace tinytl

// The optimizer step, as nodes: a parameter is overwritten where its gradient exists, so that the
// gradient's bytes are free for the next one. Formulas: engine/kernels/kernels.h.
//
//   SgdUpdate(p, g, rate, scale[, velocity])           attributes momentum, nesterov, weight_decay
//   AdamUpdate(p, g, rate, scale, m, v, correction)    attributes beta1, beta2, epsilon, decoupled,
//                                                      weight_decay
//   Adam8Update(p, g, rate, scale, m, v, m_scale, v_scale, correction)
//                                                      the same; m and v i8 of the shape of p,
//                                                      their scales f32, one for TT_ADAM8_BLOCK
//                                                      elements
//   Accumulate(sum, g): sum += g "factor"              over the micro-batches of one step
//   Clear(sum): sum = 0
//   GradientScale(g...): min(1, "max_norm" / |g|)      over all gradients together (Pascanu et al.,
//                                                      ICML 2013)
//
// Attribute channels of an update: g and the state are of these input channels of p alone
// (weight_channels.h), and nothing else of p changes. They are updated in a copy, a block at a
// time.
//
// rate, scale and correction are inputs or activations of one or two numbers, read at run time.

#include <algorithm>
#include <cmath>

#include "engine/ops/op_table.h"
#include "engine/ops/weight_channels.h"

namespace tinytl {
namespace {

enum { kP, kG, kRate, kGradScale };

constexpr int64_t kGrain = 64;

// This part of the elements of input 0.
Share share_of(const KernelArgs& t) { return t.share(t.type(0).elements(), kGrain); }

void check_parameter(const Node& node, InputTypes in) {
  const auto channels = trained_channels(node);
  check(channels.empty() || are_input_channels(in[kP], channels), node, in,
        "the channels are not those of the parameter");
  check(channels_of(in[kP], channels) == in[kG], node, in,
        "parameter and gradient differ in shape");
}

size_t scratch_bytes(const Node& node, InputTypes, const tt_kernels&) {
  return trained_channels(node).empty() ? 0 : TT_ADAM8_BLOCK * sizeof(float);
}

// update(p, first, count): `p` holds the elements [first, first + count) of what trains. Shares and
// blocks begin at multiples of `grain`, a divisor of TT_ADAM8_BLOCK.
template <class Update>
void update_parameter(const Node& node, const KernelArgs& t, int64_t grain, Update&& update) {
  const Share s = t.share(t.type(kG).elements(), grain);
  const auto channels = trained_channels(node);
  float* const p = t.mutable_f32(kP);
  if (channels.empty()) return update(p + s.begin, s.begin, s.size());
  float* const copy = static_cast<float*>(t.scratch());
  for (int64_t first = s.begin; first < s.end; first += TT_ADAM8_BLOCK) {
    const Share block{first, std::min<int64_t>(first + TT_ADAM8_BLOCK, s.end)};
    for_each_run(channels, t.type(kP), block, [&](int64_t i, int64_t of_p, int64_t n) {
      std::copy_n(p + of_p, n, copy + (i - first));
    });
    update(copy, first, block.size());
    for_each_run(channels, t.type(kP), block, [&](int64_t i, int64_t of_p, int64_t n) {
      std::copy_n(copy + (i - first), n, p + of_p);
    });
  }
}

OutputTypes infer_sgd(const Node& node, InputTypes in) {
  check(in.size() == 4 || in.size() == 5, node, in, "takes p, g, rate, scale and a velocity");
  check_parameter(node, in);
  return {};
}

void sgd(const Node& node, const KernelArgs& t) {
  enum { kVelocity = 4 };
  float* const velocity = t.inputs() > kVelocity ? t.mutable_f32(kVelocity) : nullptr;
  update_parameter(node, t, kGrain, [&](float* p, int64_t first, int64_t count) {
    t.kernels().sgd(p, t.f32(kG) + first, velocity != nullptr ? velocity + first : nullptr, count,
                    *t.f32(kRate), *t.f32(kGradScale), node.attributes.number("momentum"),
                    static_cast<int32_t>(node.attributes.integer("nesterov")),
                    node.attributes.number("weight_decay"));
  });
}

OutputTypes infer_adam(const Node& node, InputTypes in) {
  check(in.size() == 7, node, in, "takes p, g, rate, scale, m, v and the bias corrections");
  check_parameter(node, in);
  return {};
}

void adam(const Node& node, const KernelArgs& t) {
  enum { kM = 4, kV, kCorrection };
  const float* correction = t.f32(kCorrection);
  update_parameter(node, t, kGrain, [&](float* p, int64_t first, int64_t count) {
    t.kernels().adam(p, t.f32(kG) + first, t.mutable_f32(kM) + first, t.mutable_f32(kV) + first,
                     count, *t.f32(kRate), *t.f32(kGradScale), node.attributes.number("beta1"),
                     node.attributes.number("beta2"), node.attributes.number("epsilon"),
                     correction[0], correction[1],
                     static_cast<int32_t>(node.attributes.integer("decoupled")),
                     node.attributes.number("weight_decay"));
  });
}

OutputTypes infer_adam8(const Node& node, InputTypes in) {
  enum { kM = 4, kV, kMScale, kVScale };
  check(in.size() == 9, node, in,
        "takes p, g, rate, scale, m, v, their scales and the bias corrections");
  check_parameter(node, in);
  const TensorType codes{DType::kI8, in[kG].shape};
  const int64_t blocks = (in[kG].elements() + TT_ADAM8_BLOCK - 1) / TT_ADAM8_BLOCK;
  const TensorType scales{DType::kF32, {blocks}};
  check(in[kM] == codes && in[kV] == codes && in[kMScale] == scales && in[kVScale] == scales, node,
        in, "m and v need 8 bits an element and a scale a block");
  return {};
}

void adam8(const Node& node, const KernelArgs& t) {
  enum { kM = 4, kV, kMScale, kVScale, kCorrection };
  const Attributes& a = node.attributes;
  const float* correction = t.f32(kCorrection);
  const tt_adam_step step{.rate = *t.f32(kRate),
                          .grad_scale = *t.f32(kGradScale),
                          .beta1 = a.number("beta1"),
                          .beta2 = a.number("beta2"),
                          .epsilon = a.number("epsilon"),
                          .correction1 = correction[0],
                          .correction2 = correction[1],
                          .decoupled = static_cast<int32_t>(a.integer("decoupled")),
                          .weight_decay = a.number("weight_decay")};
  update_parameter(node, t, TT_ADAM8_BLOCK, [&](float* p, int64_t first, int64_t count) {
    const int64_t block = first / TT_ADAM8_BLOCK;
    t.kernels().adam8(p, t.f32(kG) + first, t.mutable_codes(kM) + first,
                      t.mutable_codes(kV) + first, t.mutable_f32(kMScale) + block,
                      t.mutable_f32(kVScale) + block, first, count, &step);
  });
}

OutputTypes infer_accumulate(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[0] == in[1], node, in, "takes a sum and a gradient of its shape");
  return {};
}

void accumulate(const Node& node, const KernelArgs& t) {
  const Share s = share_of(t);
  t.kernels().add_scaled(t.f32(1) + s.begin, node.attributes.number("factor"), s.size(),
                         t.mutable_f32(0) + s.begin);
}

OutputTypes infer_clear(const Node& node, InputTypes in) {
  check(in.size() == 1, node, in, "takes one tensor");
  return {};
}

void clear(const Node&, const KernelArgs& t) {
  const Share s = share_of(t);
  std::fill_n(t.mutable_f32(0) + s.begin, s.size(), 0.0f);
}

OutputTypes infer_scalar(const Node&, InputTypes) { return {{DType::kF32, {1}}}; }

void gradient_scale(const Node& node, const KernelArgs& t) {
  double sum = 0;
  for (size_t i = 0; i < t.inputs(); ++i) {
    sum += double{t.kernels().reduce(TT_SUM_SQUARES, t.f32(i), t.type(i).elements(), 0.0f)};
  }
  // PyTorch's clip_grad_norm_ divides by |g| + 1e-6.
  const double scale = node.attributes.number("max_norm") / (std::sqrt(sum) + 1e-6);
  t.out_f32()[0] = static_cast<float>(std::min(1.0, scale));
}

}  // namespace

const OpDef kSgdUpdate{.name = "SgdUpdate",
                       .infer = infer_sgd,
                       .forward = sgd,
                       .divides = true,
                       .scratch_bytes = scratch_bytes,
                       .mutates = 0b10001};
const OpDef kAdamUpdate{.name = "AdamUpdate",
                        .infer = infer_adam,
                        .forward = adam,
                        .divides = true,
                        .scratch_bytes = scratch_bytes,
                        .mutates = 0b110001};
const OpDef kAdam8Update{.name = "Adam8Update",
                         .infer = infer_adam8,
                         .forward = adam8,
                         .divides = true,
                         .scratch_bytes = scratch_bytes,
                         .mutates = 0b11110001};
const OpDef kAccumulate{.name = "Accumulate",
                        .infer = infer_accumulate,
                        .forward = accumulate,
                        .divides = true,
                        .mutates = 1};
const OpDef kClear{
    .name = "Clear", .infer = infer_clear, .forward = clear, .divides = true, .mutates = 1};
const OpDef kGradientScale{
    .name = "GradientScale", .infer = infer_scalar, .forward = gradient_scale};

}  // namespace tinytl

// SGD on the integers of a quantized layer, in place (Lin et al., MCUNetV3, NeurIPS 2022).
// Formulas: engine/kernels/kernels.h, sgd_q8.
//
//   QSgdUpdate(p, g, rate, scale)                p kQ8, g the f32 gradient of what it stands for
//   QBiasSgdUpdate(b, g, rate, scale, w)         b i32, in steps of x_scale times w's scale
//   QWeightSgdUpdate(p, rate, scale, x, dy)      QConv2dGradWeight of a 1x1 kernel and QSgdUpdate,
//                                                some input channels at a time (weight_update.cc);
//                                                dy may be kRow8
//
// Attributes: qas (quantization-aware scaling), stochastic (rounding), x_scale of the bias;
// x_scale and x_zero of x; channels of a weight, as in update.cc. No momentum: it would have to be
// of more bits than the weight.

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/product.h"
#include "engine/ops/row_codes.h"
#include "engine/ops/weight_channels.h"

namespace tinytl {
namespace {

enum { kP, kG, kRate, kGradScale, kBiasWeight };

tt_integer_step step_of(const Node& node, const float* rate, const float* grad_scale) {
  return {.rate = *rate,
          .grad_scale = *grad_scale,
          .qas = static_cast<int32_t>(node.attributes.integer("qas")),
          .stochastic = static_cast<int32_t>(node.attributes.integer("stochastic"))};
}

OutputTypes infer_weight(const Node& node, InputTypes in) {
  check(in.size() == 4 && in[kP].dtype == DType::kQ8 && in[kP].rank() > 0, node, in,
        "takes a q8 parameter, its f32 gradient, rate and scale");
  const auto channels = trained_channels(node);
  check(channels.empty() || are_input_channels(in[kP], channels), node, in,
        "the channels are not those of the parameter");
  check(gradient_type(channels_of(in[kP], channels)) == in[kG], node, in,
        "parameter and gradient differ in shape");
  return {};
}

void update_weight(const Node& node, const KernelArgs& t) {
  const tt_integer_step step = step_of(node, t.f32(kRate), t.f32(kGradScale));
  const int64_t columns = columns_of(t.type(kP));
  const auto channels = trained_channels(node);
  if (!channels.empty()) {
    const Share elements = t.share(t.type(kG).elements());
    for_each_run(channels, t.type(kP), elements, [&](int64_t i, int64_t of_p, int64_t n) {
      t.kernels().sgd_q8(t.mutable_i8(kP) + of_p, t.f32(kG) + i,
                         t.weights(kP).scale + of_p % columns, 1, n, of_p, &step);
    });
    return;
  }
  const Share rows = t.share(rows_of(t.type(kP)));
  const int64_t first = rows.begin * columns;
  t.kernels().sgd_q8(t.mutable_i8(kP) + first, t.f32(kG) + first, t.weights(kP).scale, rows.size(),
                     columns, first, &step);
}

OutputTypes infer_bias(const Node& node, InputTypes in) {
  check(in.size() == 5 && in[kP].dtype == DType::kI32 && in[kG] == gradient_type(in[kP]), node, in,
        "takes an i32 parameter, its f32 gradient, rate, scale and the weights");
  check(in[kBiasWeight].dtype == DType::kQ8 && in[kP].shape == Shape{in[kBiasWeight].shape.back()},
        node, in, "the bias needs one entry a channel of the weights");
  return {};
}

void update_bias(const Node& node, const KernelArgs& t) {
  const tt_integer_step step = step_of(node, t.f32(kRate), t.f32(kGradScale));
  t.kernels().sgd_i32(t.mutable_i32(kP), t.f32(kG), t.weights(kBiasWeight).scale,
                      node.attributes.number("x_scale"), t.type(kP).elements(), &step);
}

namespace fused {

enum { kP, kRate, kScale, kX, kDy };

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 5 && in[kP].dtype == DType::kQ8 && in[kP].rank() == 4 &&
            in[kP].dim(0) * in[kP].dim(1) == 1,
        node, in, "takes a q8 1x1 kernel, rate, scale, x and dy");
  check(in[kX].dtype == DType::kI8 && rows_of(in[kX]) == rows_of(in[kDy]) &&
            columns_of(in[kX]) == channels_of(in[kP], trained_channels(node)).dim(2) &&
            columns_of(in[kDy]) == columns_of(in[kP]),
        node, in, "x and dy do not fit p");
  return {};
}

constexpr int64_t kChannelGrain = 8;

// Input channels whose part of the gradient is in scratch at a time, with the pixels of x (and of
// dy, where that is decoded) that it is the sum of; their floats.
struct Room {
  Room(int64_t all_pixels, int64_t k, int64_t n, bool decodes_dy) {
    const int64_t widest = decodes_dy ? n : std::max(all_pixels, n);
    const int64_t most = kStripFloats / widest / kChannelGrain * kChannelGrain;
    channels = std::min(k, std::max(kChannelGrain, most));
    pixels = decodes_dy ? strip_rows(all_pixels, std::max(n, channels), 1) : all_pixels;
    x = padded(pixels * channels);
    dy = decodes_dy ? padded(pixels * n) : 0;
    gradient = padded(channels * n);
  }
  int64_t channels, pixels;
  int64_t x, dy, gradient;
};

size_t scratch_bytes(const Node&, InputTypes in, const tt_kernels& kernels) {
  const int64_t n = columns_of(in[kDy]);
  const Room room(rows_of(in[kX]), columns_of(in[kX]), n, is_row8(in[kDy]));
  return static_cast<size_t>(room.x + room.dy + room.gradient) * sizeof(float) +
         product_scratch(weight_product(room.pixels, room.channels, n), in[kDy], kernels);
}

// The gradient of some input channels, from `room.pixels` at a time.
void compute(const Node& node, const KernelArgs& t, const Room& room, Share channels,
             float* gradient) {
  const float x_scale = node.attributes.number("x_scale");
  const auto x_zero = static_cast<int32_t>(node.attributes.integer("x_zero"));
  const int64_t all = rows_of(t.type(kX)), k = columns_of(t.type(kX));
  float* const x = gradient + room.gradient;
  float* const dy = x + room.x;
  for (int64_t first = 0; first < all; first += room.pixels) {
    const Share pixels{first, std::min(all, first + room.pixels)};
    for (int64_t p = 0; p < pixels.size(); ++p) {
      t.kernels().dequantize_q8(t.i8(kX) + (first + p) * k + channels.begin, channels.size(),
                                x_scale, x_zero, x + p * channels.size());
    }
    tt_gemm g = weight_product(pixels.size(), channels.size(), columns_of(t.type(kDy)));
    g.a = x;
    g.b.f32 = rows_of_input(t, kDy, pixels, dy);
    g.c = gradient;
    g.accumulate = first > 0 ? 1 : 0;
    t.kernels().gemm(&g, dy + room.dy);
  }
}

void update(const Node& node, const KernelArgs& t) {
  const tt_integer_step step = step_of(node, t.f32(kRate), t.f32(kScale));
  const int64_t k = columns_of(t.type(kX)), n = columns_of(t.type(kDy));
  const Room room(rows_of(t.type(kX)), k, n, is_row8(t.type(kDy)));
  auto* const gradient = static_cast<float*>(t.scratch());
  const Share channels = t.share(k, kChannelGrain);
  const auto trained = trained_channels(node);
  const auto apply = [&](int64_t row, const float* from, int64_t rows) {
    t.kernels().sgd_q8(t.mutable_i8(kP) + row * n, from, t.weights(kP).scale, rows, n, row * n,
                       &step);
  };
  for (int64_t first = channels.begin; first < channels.end; first += room.channels) {
    const int64_t count = std::min(room.channels, channels.end - first);
    compute(node, t, room, {first, first + count}, gradient);
    if (trained.empty()) {
      apply(first, gradient, count);
      continue;
    }
    for (int64_t i = 0; i < count; ++i) {
      apply(trained[static_cast<size_t>(first + i)], gradient + i * n, 1);
    }
  }
}

}  // namespace fused

}  // namespace

const OpDef kQSgdUpdate{.name = "QSgdUpdate",
                        .infer = infer_weight,
                        .forward = update_weight,
                        .divides = true,
                        .mutates = 0b1};
const OpDef kQBiasSgdUpdate{
    .name = "QBiasSgdUpdate", .infer = infer_bias, .forward = update_bias, .mutates = 0b1};
const OpDef kQWeightSgdUpdate{.name = "QWeightSgdUpdate",
                              .infer = fused::infer,
                              .forward = fused::update,
                              .divides = true,
                              .scratch_bytes = fused::scratch_bytes,
                              .reads_row8 = 0b10000,
                              .mutates = 0b1};

}  // namespace tinytl

// Depthwise convolution: y[n,p,q,c] = b[c] + sum_{i,j} x[n, p sh + i dh - top, q sw + j dw - left,
// c] w[i,j,c]
//
// Gradients:  dx = DepthwiseConv2dGradInput(dy, w)   dw = DepthwiseConv2dGradWeight(x, dy)
//             db = sum of dy per channel
// DepthwiseConv2dGradWeightAdd(sum, x, dy): sum += "factor" dw
//
// As in a general convolution, only dw reads x. The gradient operators carry the attributes of the
// convolution and the "shape" of their result.
//
// Attributes low and high limit y, mask adds a bit mask as output 1, and keep says where dx is not
// 0 (op_helpers.h). w may have 8 bits; dy and dx of DepthwiseConv2dGradInput may be kRow8.
//
// With stride 1 and a result as large as the input, y may be written over x, and dx over dy: row by
// row, each finished row waiting in scratch until no later one reads the input row under it.

#include <algorithm>
#include <cstring>

#include "engine/ops/conv2d_attributes.h"
#include "engine/ops/layer_parts.h"
#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"
#include "engine/ops/row8_layers.h"

namespace tinytl {
namespace {

enum { kX, kW, kB };

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 2 || in.size() == 3, node, in, "takes x, w and an optional bias");
  check(in[kX].rank() == 4 && in[kW].rank() == 3, node, in, "x must have rank 4 and w rank 3");
  check(in[kX].dim(3) == in[kW].dim(2), node, in, "x and w differ in number of channels");
  if (in.size() == 3) {
    check(in[kB].shape == Shape{in[kW].dim(2)}, node, in, "b needs one entry per channel");
  }
  check_conv2d_attributes(node, in);
  const tt_conv2d_shape s = conv2d_shape(node, in[kX].shape, in[kW].shape, true);
  check(s.out_h > 0 && s.out_w > 0, node, in, "the kernel is larger than the padded input");
  return with_mask(node, in, {DType::kF32, {s.batch, s.out_h, s.out_w, s.out_c}});
}

// Parts of a layer that differ in channels, and do not share a byte of a mask.
constexpr int64_t kChannelGrain = 16;

// The channels [from, from + count) of a layer.
struct ChannelsPart {
  tt_conv2d_shape shape;
  int64_t from;
};

ChannelsPart channels_part(const KernelArgs& t, tt_conv2d_shape s) {
  const Share channels = t.share(s.in_c, kChannelGrain);
  s.pitch = channels.size() < s.in_c ? s.in_c : 0;
  s.in_c = s.out_c = s.groups = static_cast<int32_t>(channels.size());
  return {s, channels.begin};
}

tt_weights weights_of(const ChannelsPart& part, tt_weights w) {
  if (w.f32 != nullptr) w.f32 += part.from;
  if (w.q8 != nullptr) {
    w.q8 += part.from;
    w.scale += part.from;
  }
  return w;
}

// Works over images of rows x row_floats, of which it overwrites the channels of `part`:
// `compute(n, row, image, result)` reads the rows of image n from row - delay on. The ring of
// delay + 1 rows lies as the image does.
template <class Compute>
void run_over_rows(float* images, const ChannelsPart& part, int32_t delay, float* ring,
                   Compute&& compute) {
  const tt_conv2d_shape& s = part.shape;
  const int64_t pitch = s.pitch > 0 ? s.pitch : s.in_c, row_floats = s.in_w * pitch;
  const auto slot = [&](int32_t row) { return ring + row % (delay + 1) * row_floats; };
  for (int32_t n = 0; n < s.batch; ++n) {
    float* image = images + n * s.in_h * row_floats;
    for (int32_t row = 0; row < s.in_h + delay; ++row) {
      if (row < s.in_h) compute(n, row, image, slot(row));
      const int32_t done = row - delay;
      if (done < 0 || done >= s.in_h) continue;
      float* const to = image + done * row_floats;
      const float* const from = slot(done);
      if (s.in_c == pitch) {
        std::memcpy(to, from, static_cast<size_t>(row_floats) * sizeof(float));
        continue;
      }
      for (int64_t i = 0; i < row_floats; i += pitch) {
        std::memcpy(to + i, from + i, static_cast<size_t>(s.in_c) * sizeof(float));
      }
    }
  }
}

// Empty where y (or dx) may not lie over x (or dy).
std::optional<size_t> ring_bytes(const tt_conv2d_shape& s, int32_t delay) {
  const bool same_size = s.in_h == s.out_h && s.in_w == s.out_w;
  if (s.stride_h != 1 || s.stride_w != 1 || !same_size) return std::nullopt;
  return static_cast<size_t>(int64_t{delay + 1} * s.in_w * s.in_c) * sizeof(float);
}

// Row r of y reads x from row r - pad_top on; row r of dx reads dy from row r - pad_bottom on.
int32_t forward_delay(const tt_conv2d_shape& s) { return std::min(s.pad_top, s.in_h - 1); }
int32_t grad_input_delay(const tt_conv2d_shape& s) {
  return std::min((s.kernel_h - 1) * s.dilation_h - s.pad_top, s.in_h - 1);
}

std::optional<size_t> in_place_scratch(const Node& node, InputTypes in, const tt_kernels&) {
  const tt_conv2d_shape s = conv2d_shape(node, in[kX].shape, in[kW].shape, true);
  return ring_bytes(s, forward_delay(s));
}

void forward(const Node& node, const KernelArgs& t) {
  const tt_conv2d_shape s = conv2d_shape(node, t.type(kX).shape, t.type(kW).shape, true);
  const float* const x = t.f32(kX);
  float* const y = t.out_f32();
  const tt_epilogue epilogue = epilogue_of(node, t, kB);
  const int64_t x_row = int64_t{s.in_w} * s.in_c, y_row = int64_t{s.out_w} * s.out_c;
  if (y != x) {
    const tt_weights w = t.weights(kW);
    const Share rows = t.share(int64_t{s.batch} * s.out_h);
    for_each_run_of_rows(
        rows.begin, rows.end, s.out_h, [&](int64_t image, int32_t row, int32_t count) {
          const RowsPart part = forward_rows(s, row, count);
          const int64_t to = (image * s.out_h + row) * y_row;
          const tt_epilogue end = shifted(epilogue, to);
          t.kernels().depthwise(&part.shape, x + (image * s.in_h + part.first) * x_row, &w, &end,
                                y + to);
        });
    return;
  }
  const ChannelsPart channels = channels_part(t, s);
  if (channels.shape.in_c == 0) return;
  const tt_weights w = weights_of(channels, t.weights(kW));
  run_over_rows(y + channels.from, channels, forward_delay(s),
                static_cast<float*>(t.scratch()) + channels.from,
                [&](int32_t n, int32_t row, const float* image, float* result) {
                  const RowsPart part = forward_rows(channels.shape, row, 1);
                  const tt_epilogue end = shifted(
                      epilogue, (int64_t{n} * s.in_h + row) * y_row + channels.from, channels.from);
                  t.kernels().depthwise(&part.shape, image + part.first * x_row, &w, &end, result);
                });
}

void vjp(GradBuilder& grad) {
  conv2d_vjp(grad, kDepthwiseConv2dGradInput, kDepthwiseConv2dGradWeight);
}

Shape result_shape(const Node& node) {
  const auto shape = node.attributes.integers("shape");
  return {shape.begin(), shape.end()};
}

OutputTypes infer_grad_input(const Node& node, InputTypes in) {
  check(own_inputs(node, in) == 2, node, in, "takes dy and w");
  return with_mask(node, in, gradient_result(node, result_shape(node)));
}

size_t grad_input_scratch(const Node& node, InputTypes in, const tt_kernels&) {
  if (!has_row8(node, in)) return 0;
  const tt_conv2d_shape s = conv2d_shape(node, result_shape(node), in[1].shape, true);
  return row8_depthwise_scratch(s, in[1].dtype == DType::kQ8, {is_row8(in[0]), writes_row8(node)},
                                std::nullopt);
}

std::optional<size_t> grad_input_in_place_scratch(const Node& node, InputTypes in,
                                                  const tt_kernels&) {
  const tt_conv2d_shape s = conv2d_shape(node, result_shape(node), in[1].shape, true);
  const std::optional<size_t> ring = ring_bytes(s, grad_input_delay(s));
  if (!ring.has_value() || !has_row8(node, in)) return ring;
  return row8_depthwise_scratch(s, in[1].dtype == DType::kQ8, {true, true}, grad_input_delay(s));
}

void grad_input(const Node& node, const KernelArgs& t) {  // (dy, w) -> dx
  const tt_conv2d_shape s = conv2d_shape(node, t.out_type().shape, t.type(1).shape, true);
  const float* const dy = t.f32(0);
  float* const dx = t.out_f32();
  const tt_epilogue epilogue = epilogue_of(node, t);
  if (has_row8(node, t)) {
    return row8_depthwise_grad_input(t, s, epilogue, grad_input_delay(s));
  }
  const int64_t x_row = int64_t{s.in_w} * s.in_c, y_row = int64_t{s.out_w} * s.out_c;
  if (dx != dy) {
    const tt_weights w = t.weights(1);
    const Share rows = t.share(int64_t{s.batch} * s.in_h, s.stride_h);
    for_each_run_of_rows(
        rows.begin, rows.end, s.in_h, [&](int64_t image, int32_t row, int32_t count) {
          const RowsPart part = grad_input_rows(s, row, count);
          const int64_t to = (image * s.in_h + row) * x_row;
          const tt_epilogue end = shifted(epilogue, to);
          t.kernels().depthwise_grad_input(&part.shape, dy + (image * s.out_h + part.first) * y_row,
                                           &w, &end, dx + to);
        });
    return;
  }
  const ChannelsPart channels = channels_part(t, s);
  if (channels.shape.in_c == 0) return;
  const tt_weights w = weights_of(channels, t.weights(1));
  run_over_rows(
      dx + channels.from, channels, grad_input_delay(s),
      static_cast<float*>(t.scratch()) + channels.from,
      [&](int32_t n, int32_t row, const float* image, float* result) {
        const RowsPart part = grad_input_rows(channels.shape, row, 1);
        const tt_epilogue end =
            shifted(epilogue, (int64_t{n} * s.in_h + row) * x_row + channels.from, channels.from);
        t.kernels().depthwise_grad_input(&part.shape, image + part.first * y_row, &w, &end, result);
      });
}

OutputTypes infer_grad_weight(const Node& node, InputTypes in) {
  check(in.size() == 2, node, in, "takes x and dy");
  return {{DType::kF32, result_shape(node)}};
}

OutputTypes infer_added(const Node& node, InputTypes in) {
  check(in.size() == 3 && in[0].shape == result_shape(node), node, in, "takes a sum, x and dy");
  return {};
}

void grad_weight(const Node& node, const KernelArgs& t) {  // (x, dy) -> dw, or (sum, x, dy)
  const bool added = node.attributes.has("factor");
  const size_t x = added ? 1 : 0, dy = x + 1;
  float* const dw = added ? t.mutable_f32(0) : t.out_f32();
  const TensorType& result = added ? t.type(0) : t.out_type();
  const ChannelsPart part =
      channels_part(t, conv2d_shape(node, t.type(x).shape, result.shape, true));
  if (part.shape.in_c == 0) return;
  t.kernels().depthwise_grad_weight(&part.shape, t.f32(x) + part.from, t.f32(dy) + part.from,
                                    added ? node.attributes.number("factor") : 1.0f, added ? 1 : 0,
                                    dw + part.from);
}

}  // namespace

const OpDef kDepthwiseConv2d{.name = "DepthwiseConv2d",
                             .infer = infer,
                             .forward = forward,
                             .vjp = vjp,
                             .slices_weight = true,
                             .divides = true,
                             .in_place = 0b1,
                             .in_place_scratch = in_place_scratch};
const OpDef kDepthwiseConv2dGradInput{.name = "DepthwiseConv2dGradInput",
                                      .infer = infer_grad_input,
                                      .forward = grad_input,
                                      .divides = true,
                                      .scratch_bytes = grad_input_scratch,
                                      .reads_row8 = 0b1,
                                      .writes_row8 = true,
                                      .in_place = 0b1,
                                      .in_place_scratch = grad_input_in_place_scratch};
const OpDef kDepthwiseConv2dGradWeight{.name = "DepthwiseConv2dGradWeight",
                                       .infer = infer_grad_weight,
                                       .forward = grad_weight,
                                       .divides = true};
const OpDef kDepthwiseConv2dGradWeightAdd{.name = "DepthwiseConv2dGradWeightAdd",
                                          .infer = infer_added,
                                          .forward = grad_weight,
                                          .divides = true,
                                          .mutates = 0b1};

}  // namespace tinytl

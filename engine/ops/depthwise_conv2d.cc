// Depthwise convolution: y[n,p,q,c] = b[c] + sum_{i,j} x[n, p sh + i dh - top, q sw + j dw - left,
// c] w[i,j,c]
//
// Gradients:  dx = DepthwiseConv2dGradInput(dy, w)   dw = DepthwiseConv2dGradWeight(x, dy)
//             db = sum of dy per channel
//
// As in a general convolution, only dw reads x. The gradient operators carry the attributes of the
// convolution and the "shape" of their result.
//
// With stride 1 and a result as large as the input, y may be written over x, and dx over dy: row by
// row, each finished row waiting in scratch until no later one reads the input row under it.

#include <algorithm>
#include <cstring>

#include "engine/ops/conv2d_attributes.h"
#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

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
  return {{DType::kF32, {s.batch, s.out_h, s.out_w, s.out_c}}};
}

// The part of `s` that computes row `row` of y for one image from input rows [first, ...).
struct RowPart {
  tt_conv2d_shape shape;
  int32_t first;
};

RowPart forward_row(tt_conv2d_shape s, int32_t row) {
  const int32_t first = std::max(row - s.pad_top, 0);
  s.batch = s.out_h = 1;
  s.in_h -= first;
  s.pad_top += first - row;
  return {s, first};
}

// The same for row `row` of dx from rows [first, ...) of dy.
RowPart grad_input_row(tt_conv2d_shape s, int32_t row) {
  const int32_t first = std::max(row + s.pad_top - (s.kernel_h - 1) * s.dilation_h, 0);
  s.batch = s.in_h = 1;
  s.out_h = std::min(s.out_h, row + s.pad_top + 1) - first;
  s.pad_top += row - first;
  return {s, first};
}

// Works over images of rows x row_floats: `compute(row, image, result)` reads the rows from
// row - delay on. `ring` holds delay + 1 rows.
template <class Compute>
void run_over_rows(float* images, const tt_conv2d_shape& s, int32_t delay, float* ring,
                   Compute&& compute) {
  const int64_t row_floats = int64_t{s.in_w} * s.in_c;
  const auto slot = [&](int32_t row) { return ring + row % (delay + 1) * row_floats; };
  for (int32_t n = 0; n < s.batch; ++n) {
    float* image = images + n * s.in_h * row_floats;
    for (int32_t row = 0; row < s.in_h + delay; ++row) {
      if (row < s.in_h) compute(row, image, slot(row));
      const int32_t done = row - delay;
      if (done < 0 || done >= s.in_h) continue;
      std::memcpy(image + done * row_floats, slot(done),
                  static_cast<size_t>(row_floats) * sizeof(float));
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
  const float *x = t.f32(kX), *w = t.f32(kW), *b = t.inputs() > kB ? t.f32(kB) : nullptr;
  if (t.out_f32() != x) return t.kernels().depthwise(&s, x, w, b, t.out_f32());
  run_over_rows(t.out_f32(), s, forward_delay(s), static_cast<float*>(t.scratch()),
                [&](int32_t row, const float* image, float* y) {
                  const RowPart part = forward_row(s, row);
                  const float* rows = image + int64_t{part.first} * s.in_w * s.in_c;
                  t.kernels().depthwise(&part.shape, rows, w, b, y);
                });
}

void vjp(GradBuilder& grad) {
  conv2d_vjp(grad, kDepthwiseConv2dGradInput, kDepthwiseConv2dGradWeight);
}

OutputTypes infer_result(const Node& node, InputTypes in) {
  check(in.size() == 2, node, in, "takes dy and x, or dy and w");
  const auto shape = node.attributes.integers("shape");
  return {{DType::kF32, Shape(shape.begin(), shape.end())}};
}

std::optional<size_t> grad_input_in_place_scratch(const Node& node, InputTypes in,
                                                  const tt_kernels&) {
  const auto x = node.attributes.integers("shape");
  const tt_conv2d_shape s = conv2d_shape(node, Shape(x.begin(), x.end()), in[1].shape, true);
  return ring_bytes(s, grad_input_delay(s));
}

void grad_input(const Node& node, const KernelArgs& t) {  // (dy, w) -> dx
  const tt_conv2d_shape s = conv2d_shape(node, t.out_type().shape, t.type(1).shape, true);
  const float *dy = t.f32(0), *w = t.f32(1);
  if (t.out_f32() != dy) return t.kernels().depthwise_grad_input(&s, dy, w, t.out_f32());
  run_over_rows(t.out_f32(), s, grad_input_delay(s), static_cast<float*>(t.scratch()),
                [&](int32_t row, const float* image, float* dx) {
                  const RowPart part = grad_input_row(s, row);
                  const float* rows = image + int64_t{part.first} * s.out_w * s.in_c;
                  t.kernels().depthwise_grad_input(&part.shape, rows, w, dx);
                });
}

void grad_weight(const Node& node, const KernelArgs& t) {  // (x, dy) -> dw
  const tt_conv2d_shape s = conv2d_shape(node, t.type(0).shape, t.out_type().shape, true);
  t.kernels().depthwise_grad_weight(&s, t.f32(0), t.f32(1), t.out_f32());
}

}  // namespace

const OpDef kDepthwiseConv2d{.name = "DepthwiseConv2d",
                             .infer = infer,
                             .forward = forward,
                             .vjp = vjp,
                             .in_place = 0b1,
                             .in_place_scratch = in_place_scratch};
const OpDef kDepthwiseConv2dGradInput{.name = "DepthwiseConv2dGradInput",
                                      .infer = infer_result,
                                      .forward = grad_input,
                                      .in_place = 0b1,
                                      .in_place_scratch = grad_input_in_place_scratch};
const OpDef kDepthwiseConv2dGradWeight{
    .name = "DepthwiseConv2dGradWeight", .infer = infer_result, .forward = grad_weight};

}  // namespace tinytl

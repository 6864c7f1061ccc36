// Resize of an NHWC tensor to "size" {h,w}. Along each dimension, output pixel i reads at s, with
// the integer "mode":
//   0  nearest:  s = floor(i in / out)  (ONNX "asymmetric" with "floor"; PyTorch's "nearest")
//   1  bilinear, pixel centres aligned:  s = (i + 1/2) in / out - 1/2, at least 0
//   2  bilinear, corners aligned:  s = i (in - 1) / (out - 1)
//
// Gradient: ResizeGrad(dy), the exact adjoint: every pixel of dy is added to the pixels it was read
// from, with the same weights. Saves nothing. Each is the other's gradient.

#include <algorithm>
#include <cmath>

#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

enum Mode { kNearest = 0, kHalfPixel = 1, kAlignCorners = 2 };

// y = (1 - weight) x[low] + weight x[high]
struct Tap {
  int64_t low, high;
  float weight;
};

Tap tap_of(int64_t mode, int64_t i, int64_t in, int64_t out) {
  if (mode == kNearest) return {i * in / out, i * in / out, 0.0f};
  double at = 0;
  if (mode == kHalfPixel) {
    at = (static_cast<double>(i) + 0.5) * static_cast<double>(in) / static_cast<double>(out) - 0.5;
  } else if (out > 1) {
    at = static_cast<double>(i * (in - 1)) / static_cast<double>(out - 1);
  }
  at = std::clamp(at, 0.0, static_cast<double>(in - 1));
  const int64_t low = static_cast<int64_t>(at);
  return {low, std::min(low + 1, in - 1), static_cast<float>(at - static_cast<double>(low))};
}

// Calls visit(from, to, weight): pixel `to` of the resized tensor reads pixel `from` of the
// other with that weight; both are offsets of the pixel's first channel.
template <typename Visit>
void for_each_tap(const Node& node, const Shape& from, const Shape& to, Visit visit) {
  const int64_t mode = node.attributes.integer("mode"), channels = from[3];
  int64_t target = 0;
  for (int64_t n = 0; n < from[0]; ++n) {
    for (int64_t p = 0; p < to[1]; ++p) {
      const Tap h = tap_of(mode, p, from[1], to[1]);
      const int64_t top = (n * from[1] + h.low) * from[2];
      const int64_t bottom = (n * from[1] + h.high) * from[2];
      for (int64_t q = 0; q < to[2]; ++q, target += channels) {
        const Tap v = tap_of(mode, q, from[2], to[2]);
        visit((top + v.low) * channels, target, (1.0f - h.weight) * (1.0f - v.weight));
        if (v.weight > 0) {
          visit((top + v.high) * channels, target, (1.0f - h.weight) * v.weight);
        }
        if (h.weight > 0) {
          visit((bottom + v.low) * channels, target, h.weight * (1.0f - v.weight));
        }
        if (h.weight > 0 && v.weight > 0) {
          visit((bottom + v.high) * channels, target, h.weight * v.weight);
        }
      }
    }
  }
}

// The shape of the resized tensor; reports what does not fit.
Shape resized_shape(const Node& node, InputTypes in, Shape shape) {
  const auto size = node.attributes.integers("size");
  const int64_t mode = node.attributes.integer("mode");
  check(in.size() == 1 && in[0].dtype == DType::kF32 && shape.size() == 4, node, in,
        "takes one f32 tensor of rank 4 (NHWC)");
  check(size.size() == 2 && size[0] > 0 && size[1] > 0, node, in,
        "needs a positive height and width");
  check(mode >= kNearest && mode <= kAlignCorners, node, in, "mode must be 0, 1 or 2");
  shape[1] = size[0];
  shape[2] = size[1];
  return shape;
}

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 1, node, in, "takes one f32 tensor of rank 4 (NHWC)");
  return {{DType::kF32, resized_shape(node, in, in[0].shape)}};
}

OutputTypes infer_grad(const Node& node, InputTypes in) {
  const auto from = node.attributes.integers("shape");
  const Shape shape(from.begin(), from.end());
  const Shape resized = resized_shape(node, in, shape);
  check(in[0].shape == resized, node, in, "dy does not have the shape of the resized tensor");
  return {{DType::kF32, shape}};
}

void forward(const Node& node, const KernelArgs& t) {
  const Shape& shape = t.type(0).shape;
  const int64_t channels = shape[3];
  std::fill_n(t.out_f32(), t.out_type().elements(), 0.0f);
  for_each_tap(node, shape, t.out_type().shape, [&](int64_t from, int64_t to, float weight) {
    const float* x = t.f32(0) + from;
    float* y = t.out_f32() + to;
    for (int64_t c = 0; c < channels; ++c) y[c] += weight * x[c];
  });
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  Attributes attributes = grad.node().attributes;
  attributes.set("shape", grad.input_type(0).shape);
  grad.set(0, grad.emit(kResizeGrad, {grad.dy()}, attributes));
}

void backward(const Node& node, const KernelArgs& t) {
  const Shape& shape = t.out_type().shape;
  const int64_t channels = shape[3];
  std::fill_n(t.out_f32(), t.out_type().elements(), 0.0f);
  for_each_tap(node, shape, t.type(0).shape, [&](int64_t from, int64_t to, float weight) {
    const float* dy = t.f32(0) + to;
    float* dx = t.out_f32() + from;
    for (int64_t c = 0; c < channels; ++c) dx[c] += weight * dy[c];
  });
}

void grad_vjp(GradBuilder& grad) {
  if (grad.wants(0)) grad.set(0, grad.emit(kResize, {grad.dy()}, grad.node().attributes));
}

}  // namespace

const OpDef kResize{.name = "Resize", .infer = infer, .forward = forward, .vjp = vjp};
const OpDef kResizeGrad{
    .name = "ResizeGrad", .infer = infer_grad, .forward = backward, .vjp = grad_vjp};

}  // namespace tinytl

// Gather: element i along "axis" of y is element "indices"[i] of x; the indices are constants.
//
// Gradient: GatherGrad(dy), zeros of the "shape" of x to which every element of dy is added where
// it came from (an index may occur twice). Saves nothing. x may be kRow8, of which channels are
// gathered, in f32. Each is the other's gradient.

#include <algorithm>

#include "engine/ops/axis.h"
#include "engine/ops/op_table.h"
#include "engine/ops/row_codes.h"

namespace tinytl {
namespace {

// The shape of the gathered tensor; reports what does not fit.
Shape gathered_shape(const Node& node, InputTypes in, Shape shape) {
  const int64_t axis = node.attributes.integer("axis");
  const auto indices = node.attributes.integers("indices");
  check(axis >= 0 && axis < static_cast<int64_t>(shape.size()), node, in,
        "has no dimension " + std::to_string(axis));
  const int64_t extent = shape[static_cast<size_t>(axis)];
  for (const int64_t i : indices) {
    check(i >= 0 && i < extent, node, in, "index " + std::to_string(i) + " is out of range");
  }
  check(!indices.empty(), node, in, "needs at least one index");
  shape[static_cast<size_t>(axis)] = static_cast<int64_t>(indices.size());
  return shape;
}

OutputTypes infer(const Node& node, InputTypes in) {
  check(
      in.size() == 1 && (in[0].dtype == DType::kF32 || in[0].dtype == DType::kI8 || is_row8(in[0])),
      node, in, "takes one tensor, f32, i8 or row8");
  const Shape shape = gathered_shape(node, in, in[0].shape);
  if (!is_row8(in[0])) return {{in[0].dtype, shape}};
  check(axis_of(node) + 1 == in[0].rank(), node, in, "takes channels of a row8");
  return {{DType::kF32, shape}};
}

OutputTypes infer_grad(const Node& node, InputTypes in) {
  check(in.size() == 1 && in[0].dtype == DType::kF32, node, in, "takes one f32 tensor");
  const auto whole = node.attributes.integers("shape");
  const Shape shape(whole.begin(), whole.end());
  const Shape gathered = gathered_shape(node, in, shape);
  check(in[0].shape == gathered, node, in, "dy does not have the shape of the gathered tensor");
  return {{DType::kF32, shape}};
}

template <class Number>
void gather(const Node& node, const TensorType& type, const Number* from, Number* y) {
  const auto indices = node.attributes.integers("indices");
  const AxisView view = axis_view(node, type.shape);
  for (int64_t o = 0; o < view.outer; ++o) {
    const Number* x = from + o * view.size * view.inner;
    if (view.inner == 1) {
      for (const int64_t i : indices) *y++ = x[i];
      continue;
    }
    for (const int64_t i : indices) y = std::copy_n(x + i * view.inner, view.inner, y);
  }
}

// Channels of rows in 8 bits, in f32.
void gather_codes(const Node& node, const KernelArgs& t) {
  const int64_t columns = columns_of(t.type(0)), rows = rows_of(t.type(0));
  const auto* const scale = reinterpret_cast<const float*>(t.i8(0) + t.type(0).scale_offset());
  float* y = t.out_f32();
  for (int64_t r = 0; r < rows; ++r) {
    for (const int64_t i : node.attributes.integers("indices")) {
      *y++ = static_cast<float>(t.i8(0)[r * columns + i]) * scale[r];
    }
  }
}

void forward(const Node& node, const KernelArgs& t) {
  const TensorType& x = t.type(0);
  if (is_row8(x)) return gather_codes(node, t);
  return x.dtype == DType::kI8 ? gather(node, x, t.i8(0), t.out_i8())
                               : gather(node, x, t.f32(0), t.out_f32());
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  Attributes attributes = grad.node().attributes;
  attributes.set("shape", grad.input_type(0).shape);
  grad.set(0, grad.emit(kGatherGrad, {grad.dy()}, attributes));
}

void backward(const Node& node, const KernelArgs& t) {
  const auto indices = node.attributes.integers("indices");
  const AxisView view = axis_view(node, t.out_type().shape);
  const float* dy = t.f32(0);
  std::fill_n(t.out_f32(), t.out_type().elements(), 0.0f);
  for (int64_t o = 0; o < view.outer; ++o) {
    float* dx = t.out_f32() + o * view.size * view.inner;
    for (const int64_t i : indices) {
      for (int64_t j = 0; j < view.inner; ++j) dx[i * view.inner + j] += dy[j];
      dy += view.inner;
    }
  }
}

void grad_vjp(GradBuilder& grad) {
  if (grad.wants(0)) grad.set(0, grad.emit(kGather, {grad.dy()}, grad.node().attributes));
}

}  // namespace

const OpDef kGather{
    .name = "Gather", .infer = infer, .forward = forward, .vjp = vjp, .reads_row8 = 0b1};
const OpDef kGatherGrad{
    .name = "GatherGrad", .infer = infer_grad, .forward = backward, .vjp = grad_vjp};

}  // namespace tinytl

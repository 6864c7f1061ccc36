// Slice: y[i] = x["starts" + i "steps"] for 0 <= i < "sizes", one number per dimension; steps may
// be negative. A slice whose bytes lie together in x is a view.
//
// Gradient: SliceGrad(dy), zeros of the "shape" of x with dy written where y came from. Saves
// nothing. Each is the other's gradient.

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/strided.h"

namespace tinytl {
namespace {

// The box that the attributes cut out of `shape`; reports what does not fit.
Shape check_box(const Node& node, InputTypes in, const Shape& shape) {
  const auto starts = node.attributes.integers("starts");
  const auto sizes = node.attributes.integers("sizes");
  const auto steps = node.attributes.integers("steps");
  const size_t rank = shape.size();
  check(in.size() == 1 && in[0].dtype == DType::kF32 && rank <= kMaxRank, node, in,
        "takes one f32 tensor of at most 8 dimensions");
  check(starts.size() == rank && sizes.size() == rank && steps.size() == rank, node, in,
        "needs a start, a size and a step for every dimension");
  for (size_t d = 0; d < rank; ++d) {
    const int64_t last = starts[d] + (sizes[d] - 1) * steps[d];
    check(steps[d] != 0 && sizes[d] > 0 && starts[d] >= 0 && starts[d] < shape[d] && last >= 0 &&
              last < shape[d],
          node, in, "reaches outside dimension " + std::to_string(d));
  }
  return Shape(sizes.begin(), sizes.end());
}

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 1, node, in, "takes one tensor");
  return {{DType::kF32, check_box(node, in, in[0].shape)}};
}

OutputTypes infer_grad(const Node& node, InputTypes in) {
  const auto whole = node.attributes.integers("shape");
  const Shape shape(whole.begin(), whole.end());
  const Shape box = check_box(node, in, shape);
  check(in[0].shape == box, node, in, "dy does not have the shape of the slice");
  return {{DType::kF32, shape}};
}

// Calls visit(i, at): element i of the slice is element `at` of the whole.
template <typename Visit>
void for_each_sliced(const Node& node, const Shape& slice, const Shape& whole, Visit visit) {
  const auto starts = node.attributes.integers("starts");
  const auto steps = node.attributes.integers("steps");
  Strides stride = dense_strides(whole);
  int64_t start = 0;
  for (size_t d = 0; d < whole.size(); ++d) {
    start += starts[d] * stride[d];
    stride[d] *= steps[d];
  }
  for_each_strided(slice, start, stride, visit);
}

void forward(const Node& node, const KernelArgs& t) {
  const float* x = t.f32(0);
  float* y = t.out_f32();
  for_each_sliced(node, t.out_type().shape, t.type(0).shape,
                  [&](int64_t i, int64_t at) { y[i] = x[at]; });
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  Attributes attributes = grad.node().attributes;
  attributes.set("shape", grad.input_type(0).shape);
  grad.set(0, grad.emit(kSliceGrad, {grad.dy()}, attributes));
}

void backward(const Node& node, const KernelArgs& t) {
  const float* dy = t.f32(0);
  float* dx = t.out_f32();
  std::fill_n(dx, t.out_type().elements(), 0.0f);
  for_each_sliced(node, t.type(0).shape, t.out_type().shape,
                  [&](int64_t i, int64_t at) { dx[at] = dy[i]; });
}

void grad_vjp(GradBuilder& grad) {
  if (grad.wants(0)) grad.set(0, grad.emit(kSlice, {grad.dy()}, grad.node().attributes));
}

// Together: one range of one dimension, whole dimensions behind it, single entries before it.
std::optional<size_t> view_offset(const Node& node, InputTypes in) {
  const auto starts = node.attributes.integers("starts");
  const auto sizes = node.attributes.integers("sizes");
  const auto steps = node.attributes.integers("steps");
  const Strides stride = dense_strides(in[0].shape);
  int64_t first = 0;
  bool whole = true;  // of all dimensions behind d
  for (size_t d = in[0].rank(); d-- > 0;) {
    if (!whole && sizes[d] != 1) return std::nullopt;
    if (sizes[d] > 1 && steps[d] != 1) return std::nullopt;
    whole = whole && sizes[d] == in[0].dim(d);
    first += starts[d] * stride[d];
  }
  return static_cast<size_t>(first) * sizeof(float);
}

}  // namespace

const OpDef kSlice{
    .name = "Slice", .infer = infer, .forward = forward, .vjp = vjp, .view_offset = view_offset};
const OpDef kSliceGrad{
    .name = "SliceGrad", .infer = infer_grad, .forward = backward, .vjp = grad_vjp};

}  // namespace tinytl

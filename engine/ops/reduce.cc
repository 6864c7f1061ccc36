// ReduceSum, ReduceMean: the sum or mean over the dimensions "axes" (sorted), which stay as 1 where
// "keepdims" is 1 and vanish otherwise.
//
// Gradient: dy spread over those dimensions, divided by their number of elements in the mean. It is
// scaled before it is spread, on the smaller tensor. Saves nothing.

#include <algorithm>

#include "engine/ops/axis.h"
#include "engine/ops/op_table.h"
#include "engine/ops/strided.h"

namespace tinytl {
namespace {

// The shape of the result with every reduced dimension kept as 1.
Shape kept_shape(const Node& node, Shape shape) {
  for (const int64_t axis : node.attributes.integers("axes")) shape[static_cast<size_t>(axis)] = 1;
  return shape;
}

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 1 && in[0].dtype == DType::kF32 && in[0].rank() <= kMaxRank, node, in,
        "takes one f32 tensor of at most 8 dimensions");
  const bool keep = node.attributes.integer("keepdims") != 0;
  const auto axes = node.attributes.integers("axes");
  int64_t previous = -1;
  for (const int64_t axis : axes) {
    check(axis > previous && axis < static_cast<int64_t>(in[0].rank()), node, in,
          "axes must be sorted dimensions of the input");
    previous = axis;
  }
  TensorType y{DType::kF32, {}};
  for (size_t d = 0; d < in[0].rank(); ++d) {
    const bool reduced = std::binary_search(axes.begin(), axes.end(), static_cast<int64_t>(d));
    if (!reduced) y.shape.push_back(in[0].dim(d));
    if (reduced && keep) y.shape.push_back(1);
  }
  return {y};
}

// y = factor times the sum. One run of neighbouring dimensions, as in a mean over height and width.
void reduce_run(const KernelArgs& t, const AxisView& view, float factor) {
  const Share share = t.share(view.outer);
  float* y = t.out_f32() + share.begin * view.inner;
  for (int64_t o = share.begin; o < share.end; ++o, y += view.inner) {
    const float* x = t.f32(0) + o * view.size * view.inner;
    if (view.inner > 1) {
      t.kernels().sum_rows(x, view.size, view.inner, view.inner, y);
      t.kernels().map(TT_LINEAR, y, view.inner, factor, -0.0f, y);
    } else {
      y[0] = factor * t.kernels().reduce(TT_SUM, x, view.size, 0.0f);
    }
  }
}

// Any other set of dimensions: every element is added to the one it falls on.
void reduce_any(const Node& node, const KernelArgs& t, float factor) {
  if (!t.is_first_part()) return;
  const Shape& shape = t.type(0).shape;
  const auto axes = node.attributes.integers("axes");
  Strides stride{};
  int64_t running = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    if (std::binary_search(axes.begin(), axes.end(), static_cast<int64_t>(d))) continue;
    stride[d] = running;
    running *= shape[d];
  }
  const float* x = t.f32(0);
  float* y = t.out_f32();
  std::fill(y, y + running, 0.0f);
  for_each_strided(shape, 0, stride, [&](int64_t i, int64_t to) { y[to] += x[i]; });
  t.kernels().map(TT_LINEAR, y, running, factor, -0.0f, y);
}

void reduce(const Node& node, const KernelArgs& t, float factor) {
  const auto axes = node.attributes.integers("axes");
  const bool is_run =
      axes.empty() || axes.back() - axes.front() + 1 == static_cast<int64_t>(axes.size());
  if (is_run) {
    const size_t first = axes.empty() ? 0 : static_cast<size_t>(axes.front());
    reduce_run(t, axes_view(t.type(0).shape, first, first + axes.size()), factor);
  } else {
    reduce_any(node, t, factor);
  }
}

float mean_factor(int64_t from, int64_t to) {
  return static_cast<float>(static_cast<double>(to) / static_cast<double>(from));
}

void sum(const Node& node, const KernelArgs& t) { reduce(node, t, 1.0f); }

void mean(const Node& node, const KernelArgs& t) {
  reduce(node, t, mean_factor(t.type(0).elements(), t.out_type().elements()));
}

void spread(GradBuilder& grad, ValueId dy) {
  const Shape shape = grad.input_type(0).shape;
  const Shape kept = kept_shape(grad.node(), shape);
  if (grad.type(dy).shape != kept) dy = grad.emit(kReshape, {dy}, {{"shape", kept}});
  if (kept != shape) dy = grad.emit(kBroadcastTo, {dy}, {{"shape", shape}});
  grad.set(0, dy);
}

void sum_vjp(GradBuilder& grad) {
  if (grad.wants(0)) spread(grad, grad.dy());
}

void mean_vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const float factor = mean_factor(grad.input_type(0).elements(), grad.type(grad.dy()).elements());
  spread(grad, grad.emit(kScale, {grad.dy()}, {{"factor", factor}}));
}

}  // namespace

const OpDef kReduceSum{
    .name = "ReduceSum", .infer = infer, .forward = sum, .vjp = sum_vjp, .divides = true};
const OpDef kReduceMean{
    .name = "ReduceMean", .infer = infer, .forward = mean, .vjp = mean_vjp, .divides = true};

}  // namespace tinytl

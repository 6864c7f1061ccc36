// Pad: x with "before" and "after" elements of "value" added at the ends of every dimension.
//
// Gradient: the slice of dy that holds x. Saves nothing.

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/strided.h"

namespace tinytl {
namespace {

OutputTypes infer(const Node& node, InputTypes in) {
  const auto before = node.attributes.integers("before");
  const auto after = node.attributes.integers("after");
  check(in.size() == 1 && in[0].dtype == DType::kF32 && in[0].rank() <= kMaxRank, node, in,
        "takes one f32 tensor of at most 8 dimensions");
  check(before.size() == in[0].rank() && after.size() == in[0].rank(), node, in,
        "needs a pad before and after every dimension");
  TensorType y = in[0];
  for (size_t d = 0; d < y.rank(); ++d) {
    check(before[d] >= 0 && after[d] >= 0, node, in,
          "pads must not be negative (cut with Slice instead)");
    y.shape[d] += before[d] + after[d];
  }
  return {y};
}

void forward(const Node& node, const KernelArgs& t) {
  const auto before = node.attributes.integers("before");
  const Strides stride = dense_strides(t.out_type().shape);
  int64_t start = 0;
  for (size_t d = 0; d < before.size(); ++d) start += before[d] * stride[d];
  const float* x = t.f32(0);
  float* y = t.out_f32();
  std::fill_n(y, t.out_type().elements(), node.attributes.number("value"));
  for_each_strided(t.type(0).shape, start, stride, [&](int64_t i, int64_t at) { y[at] = x[i]; });
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const auto before = grad.node().attributes.integers("before");
  const Shape shape = grad.input_type(0).shape;
  grad.set(0, grad.emit(kSlice, {grad.dy()},
                        {{"starts", Shape(before.begin(), before.end())},
                         {"sizes", shape},
                         {"steps", Shape(shape.size(), 1)}}));
}

}  // namespace

const OpDef kPad{.name = "Pad", .infer = infer, .forward = forward, .vjp = vjp};

}  // namespace tinytl

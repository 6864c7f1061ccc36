// Concat: the inputs one after the other along "axis".
//
// Gradient: each wanted input gets its slice of dy. Saves nothing.

#include <algorithm>

#include "engine/ops/axis.h"
#include "engine/ops/broadcast.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

OutputTypes infer(const Node& node, InputTypes in) {
  check_axis(node, in);
  check(in[0].rank() <= kMaxRank, node, in, "more than 8 dimensions");
  const size_t axis = axis_of(node);
  TensorType y = in[0];
  y.shape[axis] = 0;
  for (const TensorType& x : in) {
    check(x.dtype == DType::kF32 && x.rank() == y.rank(), node, in,
          "the inputs must be f32 tensors of one rank");
    for (size_t d = 0; d < y.rank(); ++d) {
      check(d == axis || x.dim(d) == y.dim(d), node, in,
            "the inputs differ outside dimension " + std::to_string(axis));
    }
    y.shape[axis] += x.dim(axis);
  }
  return {y};
}

void forward(const Node& node, const KernelArgs& t) {
  const AxisView view = axis_view(node, t.out_type().shape);
  const int64_t y_row = view.size * view.inner;
  const Share rows = t.share(view.outer);
  float* y = t.out_f32();
  for (size_t i = 0; i < t.inputs(); ++i) {
    const int64_t x_row = t.type(i).shape[axis_of(node)] * view.inner;
    for (int64_t o = rows.begin; o < rows.end; ++o) {
      std::copy_n(t.f32(i) + o * x_row, x_row, y + o * y_row);
    }
    y += x_row;
  }
}

void vjp(GradBuilder& grad) {
  const Node& node = grad.node();
  const size_t axis = axis_of(node);
  int64_t start = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const Shape shape = grad.input_type(i).shape;
    if (grad.wants(i)) {
      Shape starts(shape.size(), 0);
      starts[axis] = start;
      grad.set(
          i, grad.emit(kSlice, {grad.dy()},
                       {{"starts", starts}, {"sizes", shape}, {"steps", Shape(shape.size(), 1)}}));
    }
    start += shape[axis];
  }
}

// Parts of the outermost dimension that is not 1 lie one behind the other.
std::optional<size_t> part_offset(const Node& node, InputTypes in, size_t input) {
  const size_t axis = axis_of(node);
  for (size_t d = 0; d < axis; ++d) {
    if (in[0].dim(d) != 1) return std::nullopt;
  }
  size_t offset = 0;
  for (size_t i = 0; i < input; ++i) offset += in[i].bytes();
  return offset;
}

}  // namespace

const OpDef kConcat{.name = "Concat",
                    .infer = infer,
                    .forward = forward,
                    .vjp = vjp,
                    .divides = true,
                    .part_offset = part_offset};

}  // namespace tinytl

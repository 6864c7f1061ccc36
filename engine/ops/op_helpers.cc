#include "engine/ops/op_helpers.h"

#include <algorithm>

#include "engine/ops/op_table.h"

namespace tinytl {

tt_conv2d_shape conv2d_shape(const Node& node, const Shape& x, const Shape& w, bool depthwise) {
  const auto strides = node.attributes.integers("strides");
  const auto pads = node.attributes.integers("pads");
  const auto dilations = node.attributes.integers("dilations");
  const auto i32 = [](int64_t v) { return static_cast<int32_t>(v); };
  tt_conv2d_shape s{};
  s.batch = i32(x[0]);
  s.in_h = i32(x[1]);
  s.in_w = i32(x[2]);
  s.in_c = i32(x[3]);
  s.kernel_h = i32(w[0]);
  s.kernel_w = i32(w[1]);
  s.out_c = depthwise ? s.in_c : i32(w[3]);
  s.groups = depthwise ? s.in_c : i32(node.attributes.integer("groups"));
  s.stride_h = i32(strides[0]);
  s.stride_w = i32(strides[1]);
  s.dilation_h = i32(dilations[0]);
  s.dilation_w = i32(dilations[1]);
  s.pad_top = i32(pads[0]);
  s.pad_left = i32(pads[1]);
  const int32_t span_h = s.dilation_h * (s.kernel_h - 1) + 1;
  const int32_t span_w = s.dilation_w * (s.kernel_w - 1) + 1;
  const int32_t room_h = s.in_h + i32(pads[0] + pads[2]) - span_h;
  const int32_t room_w = s.in_w + i32(pads[1] + pads[3]) - span_w;
  s.out_h = room_h < 0 ? 0 : room_h / s.stride_h + 1;
  s.out_w = room_w < 0 ? 0 : room_w / s.stride_w + 1;
  return s;
}

void conv2d_vjp(GradBuilder& grad, const OpDef& grad_input, const OpDef& grad_weight) {
  enum { kX, kW, kB };
  const Node& node = grad.node();
  const auto with_shape_of = [&](size_t input) {
    Attributes attributes = node.attributes;
    attributes.set("shape", grad.input_type(input).shape);
    return attributes;
  };
  if (grad.wants(kB)) {
    grad.set(kB, grad.emit(kSumTo, {grad.dy()}, {{"shape", grad.input_type(kB).shape}}));
  }
  if (grad.wants(kW)) {
    grad.set(kW, grad.emit(grad_weight, {node.input(kX), grad.dy()}, with_shape_of(kW)));
  }
  if (grad.wants(kX)) {
    grad.set(kX, grad.emit(grad_input, {grad.dy(), node.input(kW)}, with_shape_of(kX)));
  }
}

int64_t rows_of(const TensorType& type) {
  return type.shape.back() == 0 ? 0 : type.elements() / type.shape.back();
}

std::optional<Shape> broadcast_shape(const Shape& a, const Shape& b) {
  Shape out(std::max(a.size(), b.size()), 1);
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t da = i < a.size() ? a[a.size() - 1 - i] : 1;
    const int64_t db = i < b.size() ? b[b.size() - 1 - i] : 1;
    if (da != db && da != 1 && db != 1) return std::nullopt;
    out[out.size() - 1 - i] = std::max(da, db);
  }
  return out;
}

}  // namespace tinytl

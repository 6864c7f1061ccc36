#include "engine/ops/op_helpers.h"

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/weight_channels.h"

namespace tinytl {

tt_conv2d_shape conv2d_shape(const Window& window, const Shape& x, const Shape& w, bool depthwise) {
  const auto& [strides, pads, dilations, groups] = window;
  const auto i32 = [](int64_t v) { return static_cast<int32_t>(v); };
  tt_conv2d_shape s{};
  s.batch = i32(x[0]);
  s.in_h = i32(x[1]);
  s.in_w = i32(x[2]);
  s.in_c = i32(x[3]);
  s.kernel_h = i32(w[0]);
  s.kernel_w = i32(w[1]);
  s.out_c = depthwise ? s.in_c : i32(w[3]);
  s.groups = depthwise ? s.in_c : i32(groups);
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

tt_conv2d_shape conv2d_shape(const Node& node, const Shape& x, const Shape& w, bool depthwise) {
  const Attributes& a = node.attributes;
  return conv2d_shape({a.integers("strides"), a.integers("pads"), a.integers("dilations"),
                       depthwise ? 1 : a.integer("groups")},
                      x, w, depthwise);
}

bool has_keep(const Node& node) { return node.attributes.has("keep"); }

size_t own_inputs(const Node& node, InputTypes in) {
  return in.size() - (has_keep(node) && !in.empty() ? 1 : 0);
}

OutputTypes with_mask(const Node& node, InputTypes in, TensorType y) {
  const bool mask = node.attributes.has("mask");
  if (has_keep(node)) {
    const TensorType& keep = in.back();
    check(!mask && keep.shape == y.shape, node, in, "what to keep must have the result's shape");
    check(keep.dtype == DType::kBit || node.attributes.has("low"), node, in,
          "what to keep must be a bit mask or have limits");
  }
  check(!mask || node.attributes.has("low"), node, in, "a mask needs limits");
  const bool bits = mask || (has_keep(node) && in.back().dtype == DType::kBit);
  check(!bits || y.shape.back() % 8 == 0, node, in, "masks need channels in multiples of 8");
  OutputTypes result{y};
  if (mask) result.push_back({DType::kBit, y.shape});
  return result;
}

tt_epilogue epilogue_of(const Node& node, const KernelArgs& t, size_t bias_input) {
  tt_epilogue e{};
  const size_t inputs = t.inputs() - (has_keep(node) ? 1 : 0);
  if (bias_input < inputs) e.bias = t.f32(bias_input);
  if (node.attributes.has("low")) {
    e.clip = has_clip(node) ? 1 : 0;
    e.low = node.attributes.number("low");
    e.high = node.attributes.number("high");
  }
  if (node.attributes.has("mask")) e.inside = t.out_bits(1);
  if (has_keep(node)) {
    if (t.type(inputs).dtype == DType::kBit) {
      e.keep = t.bits(inputs);
    } else {
      e.keep_within = t.f32(inputs);
    }
  }
  return e;
}

tt_epilogue shifted(const tt_epilogue& epilogue, int64_t from, int64_t channel) {
  tt_epilogue e = epilogue;
  if (e.bias != nullptr) e.bias += channel;
  if (e.inside != nullptr) e.inside += from / 8;
  if (e.keep != nullptr) e.keep += from / 8;
  if (e.keep_within != nullptr) e.keep_within += from;
  return e;
}

ValueId dy_of_layer(GradBuilder& grad) {
  const Node& node = grad.node();
  if (!has_clip(node)) return grad.dy();
  return grad.emit(
      kClipGrad, {grad.dy(), node.output()},
      {{"low", node.attributes.number("low")}, {"high", node.attributes.number("high")}});
}

ValueId gathered(GradBuilder& grad, ValueId x, std::span<const int64_t> channels) {
  if (channels.empty()) return x;
  return grad.emit(kGather, {x},
                   {{"axis", static_cast<int64_t>(grad.type(x).rank() - 1)},
                    {"indices", std::vector<int64_t>(channels.begin(), channels.end())}});
}

Attributes without_epilogue(const Attributes& attributes) {
  Attributes result;
  for (const auto& [name, value] : attributes.items()) {
    if (name != "low" && name != "high" && name != "mask" && name != "keep") {
      result.set(name, value);
    }
  }
  return result;
}

std::vector<int64_t> channels_of_groups(std::span<const int64_t> channels, int64_t groups,
                                        int64_t group_channels) {
  std::vector<int64_t> all;
  for (int64_t g = 0; g < groups; ++g) {
    for (const int64_t c : channels) all.push_back(g * group_channels + c);
  }
  return all;
}

void conv2d_vjp(GradBuilder& grad, const OpDef& grad_input, const OpDef& grad_weight) {
  enum { kX, kW, kB };
  const Node& node = grad.node();
  const ValueId dy = dy_of_layer(grad);
  const auto with_shape_of = [&](size_t input) {
    Attributes attributes = without_epilogue(node.attributes);
    attributes.set("shape", grad.input_type(input).shape);
    return attributes;
  };
  if (grad.wants(kB)) {
    grad.set(kB, grad.emit(kSumTo, {dy}, {{"shape", grad.input_type(kB).shape}}));
  }
  if (grad.wants(kW)) {
    const TensorType& w = grad.input_type(kW);
    const bool is_depthwise = w.rank() == 3;
    const int64_t groups = is_depthwise ? 1 : node.attributes.integer("groups");
    const auto channels = grad.channels(kW);
    Attributes attributes = with_shape_of(kW);
    attributes.set("shape", channels_of(w, channels).shape);
    const ValueId x =
        gathered(grad, node.input(kX), channels_of_groups(channels, groups, w.dim(2)));
    const ValueId dy_of_w = is_depthwise ? gathered(grad, dy, channels) : dy;
    grad.set(kW, grad.emit(grad_weight, {x, dy_of_w}, attributes));
  }
  if (grad.wants(kX)) {
    grad.set(kX, grad.emit(grad_input, {dy, node.input(kW)}, with_shape_of(kX)));
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

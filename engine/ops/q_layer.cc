#include "engine/ops/q_layer.h"

#include "engine/ops/op_table.h"
#include "engine/ops/weight_channels.h"

namespace tinytl {

std::optional<LevelScale> scale_read_of(const Graph& graph, ValueId id) {
  for (const Node& node : graph.nodes()) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (node.input(i) != id) continue;
      if (node.op == &kQConvChain) {
        return LevelScale{node.attributes.numbers("scale")[0], node.attributes.integers("zero")[0]};
      }
      const std::string name = node.op == &kQAdd ? (i == 0 ? "a" : "b") : "x";
      if (!node.attributes.has(name + "_scale")) continue;
      return LevelScale{node.attributes.number(name + "_scale"),
                        node.attributes.integer(name + "_zero")};
    }
  }
  return std::nullopt;
}

void check_levels(const Node& node, InputTypes in) {
  const auto level = [&](const char* name) { return node.attributes.integer(name); };
  check(node.attributes.number("y_scale") > 0, node, in, "needs a scale above 0");
  check(level("y_low") >= -128 && level("y_low") <= level("y_high") && level("y_high") <= 127, node,
        in, "the limits of y must be levels of 8 bits");
  check(level("y_zero") >= -128 && level("y_zero") <= 127, node, in,
        "the zero point of y must be a level of 8 bits");
}

tt_requantize requantize_of(const Node& node, const KernelArgs& t, size_t w, size_t b) {
  const auto level = [&](const char* name) {
    return static_cast<int32_t>(node.attributes.integer(name));
  };
  tt_requantize q{};
  q.x_zero = level("x_zero");
  q.y_zero = level("y_zero");
  q.low = level("y_low");
  q.high = level("y_high");
  q.factor = node.attributes.number("x_scale") / node.attributes.number("y_scale");
  q.fixed_point = level("fixed_point");
  if (w < t.inputs()) q.scale = t.weights(w).scale;
  if (b < t.inputs()) q.bias = t.i32(b);
  return q;
}

ValueId dy_within_limits(GradBuilder& grad) {
  const Attributes& a = grad.node().attributes;
  const ValueId mask = grad.emit(kLevelMask, {grad.node().output()},
                                 {{"low", a.integer("y_low")}, {"high", a.integer("y_high")}});
  return grad.emit(kMaskApply, {grad.dy(), mask});
}

Attributes convolution_attributes(const Node& node, bool depthwise) {
  Attributes result;
  const auto copy = [&](const char* name) {
    const auto list = node.attributes.integers(name);
    result.set(name, std::vector<int64_t>(list.begin(), list.end()));
  };
  copy("strides");
  copy("pads");
  copy("dilations");
  if (!depthwise) result.set("groups", node.attributes.integer("groups"));
  return result;
}

void quantized_layer_vjp(GradBuilder& grad, const OpDef& grad_input, const OpDef& grad_weight) {
  enum { kX, kW, kB };
  const Node& node = grad.node();
  const ValueId dy = dy_within_limits(grad);
  const auto with_shape_of = [&](size_t input) {
    Attributes attributes = convolution_attributes(node, grad.input_type(kW).rank() == 3);
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
    attributes.set("x_scale", node.attributes.number("x_scale"));
    attributes.set("x_zero", node.attributes.integer("x_zero"));
    const ValueId x =
        gathered(grad, node.input(kX), channels_of_groups(channels, groups, w.dim(2)));
    const ValueId dy_of_w = is_depthwise ? gathered(grad, dy, channels) : dy;
    grad.set(kW, grad.emit(grad_weight, {x, dy_of_w}, std::move(attributes)));
  }
  if (grad.wants(kX)) {
    grad.set(kX, grad.emit(grad_input, {dy, node.input(kW)}, with_shape_of(kX)));
  }
}

}  // namespace tinytl

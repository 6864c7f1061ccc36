// Layers of 8-bit integers as the QuantizeLinear and DequantizeLinear nodes around layers of real
// numbers that fuse_integers.cc makes them of.

#include "engine/onnx/export_rules.h"
#include "engine/ops/op_table.h"

namespace tinytl::internal {
namespace {

Order nchw() { return {0, 3, 1, 2}; }

// Scale and zero point of node attributes `prefix`_scale and `prefix`_zero, as tensors.
std::vector<std::string> levels(Exporter& e, const std::string& prefix, const std::string& name) {
  const Attributes& a = e.node().attributes;
  return e.scale_and_zero(name, a.number(prefix + "_scale"), a.integer(prefix + "_zero"));
}

// Input i, whose levels `prefix` describes, as real numbers in that order.
std::string real(Exporter& e, size_t i, const std::string& prefix, const Order& order) {
  std::vector<std::string> inputs{e.tensor(e.node().input(i), order)};
  for (const std::string& name : levels(e, prefix, inputs[0])) inputs.push_back(name);
  return e.step("DequantizeLinear", inputs, "real" + std::to_string(i));
}

// Output 0 from real numbers, limited, then rounded. Limits that are those of all levels need no
// Clip, but where they begin at 0: that is a ReLU, which a reader that does not round would miss.
void round_to_levels(Exporter& e, std::string real, const Order& order) {
  const Attributes& a = e.node().attributes;
  const int64_t low = a.integer("y_low"), high = a.integer("y_high");
  if (low > -128 || high < 127 || low == a.integer("y_zero")) {
    const auto limit = [&](const char* name, int64_t level) {
      return e.number(e.node().name + name,
                      static_cast<float>(level - a.integer("y_zero")) * a.number("y_scale"));
    };
    real = e.step("Clip", {real, limit(".low", low), limit(".high", high)}, "limited");
  }
  const std::string y = e.result(order);
  std::vector<std::string> inputs{real};
  for (const std::string& name : levels(e, "y", y)) inputs.push_back(name);
  e.add("QuantizeLinear", inputs, y);
}

void quantize(Exporter& e) {
  const Held x = as_held(e);
  const std::string y = e.result(x.order);
  std::vector<std::string> inputs{x.tensor};
  for (const std::string& name : levels(e, "y", y)) inputs.push_back(name);
  e.add("QuantizeLinear", inputs, y);
}

void dequantize(Exporter& e) {
  const Held x = as_held(e);
  const std::string y = e.result(x.order);
  std::vector<std::string> inputs{x.tensor};
  for (const std::string& name : levels(e, "x", y)) inputs.push_back(name);
  e.add("DequantizeLinear", inputs, y);
}

void convolution(Exporter& e) {
  const Node& node = e.node();
  const bool depthwise = node.op == &kQDepthwiseConv2d;
  const Shape w = e.type(node.input(1)).shape;  // [kh,kw,ci,co] or [kh,kw,c]
  const Shape from = depthwise ? Shape{w[0], w[1], 1, w[2]} : w;
  std::vector<std::string> inputs{
      real(e, 0, "x", nchw()),
      e.parameter(node.input(1), from, {3, 2, 0, 1}, permuted(from, {3, 2, 0, 1}))};
  if (node.inputs.size() > 2) {
    inputs.push_back(
        e.integer_bias(node.input(2), node.input(1), node.attributes.number("x_scale")));
  }
  const std::string y = e.step("Conv", inputs, "sum");
  onnx::NodeProto& proto = *e.model.mutable_graph()->mutable_node()->rbegin();
  set_attribute(proto, "kernel_shape", std::vector<int64_t>{w[0], w[1]});
  set_attribute(proto, "strides", node.attributes.integers("strides"));
  set_attribute(proto, "pads", node.attributes.integers("pads"));
  set_attribute(proto, "dilations", node.attributes.integers("dilations"));
  set_attribute(proto, "group", depthwise ? w[2] : node.attributes.integer("groups"));
  round_to_levels(e, y, nchw());
}

void add(Exporter& e) {
  const Order order = as_held(e).order;
  const std::string a = real(e, 0, "a", order), b = real(e, 1, "b", order);
  round_to_levels(e, e.step("Add", {a, b}, "sum"), order);
}

void global_average_pool(Exporter& e) {
  round_to_levels(e, e.step("GlobalAveragePool", {real(e, 0, "x", nchw())}, "mean"), nchw());
}

}  // namespace

void add_integer_exports(ExportTable& table) {
  table[&kQuantize] = quantize;
  table[&kDequantize] = dequantize;
  table[&kQConv2d] = convolution;
  table[&kQDepthwiseConv2d] = convolution;
  table[&kQAdd] = add;
  table[&kQGlobalAveragePool] = global_average_pool;
}

}  // namespace tinytl::internal

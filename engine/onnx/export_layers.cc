// Convolutions, poolings, matrix products, arithmetic and reductions as ONNX.

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/onnx/export_rules.h"
#include "engine/ops/op_table.h"

namespace tinytl::internal {
namespace {

Order nchw() { return {0, 3, 1, 2}; }

Shape with_rank(const Shape& shape, size_t rank) {
  Shape result(rank - std::min(rank, shape.size()), 1);
  result.insert(result.end(), shape.begin(), shape.end());
  return result;
}

void set_windows(onnx::NodeProto& proto, const Attributes& attributes,
                 std::span<const int64_t> kernel) {
  set_attribute(proto, "kernel_shape", kernel);
  set_attribute(proto, "strides", attributes.integers("strides"));
  set_attribute(proto, "pads", attributes.integers("pads"));
}

void convolution(Exporter& e) {
  const Node& node = e.node();
  const bool depthwise = node.op == &kDepthwiseConv2d;
  const Shape w = e.type(node.input(1)).shape;  // [kh,kw,ci,co] or [kh,kw,c]
  const Shape from = depthwise ? Shape{w[0], w[1], 1, w[2]} : w;
  std::vector<std::string> inputs{
      e.tensor(node.input(0), nchw()),
      e.parameter(node.input(1), from, {3, 2, 0, 1}, permuted(from, {3, 2, 0, 1}))};
  if (node.inputs.size() > 2) inputs.push_back(e.plain(node.input(2)));
  onnx::NodeProto& proto = e.add("Conv", inputs, e.result(nchw()));
  set_windows(proto, node.attributes, std::vector<int64_t>{w[0], w[1]});
  set_attribute(proto, "dilations", node.attributes.integers("dilations"));
  set_attribute(proto, "group", depthwise ? w[2] : node.attributes.integer("groups"));
}

void pool(Exporter& e) {
  const Node& node = e.node();
  const bool average = node.op == &kAveragePool;
  const std::string x = e.tensor(node.input(0), nchw());
  onnx::NodeProto& proto = e.add(average ? "AveragePool" : "MaxPool", {x}, e.result(nchw()));
  set_windows(proto, node.attributes, node.attributes.integers("kernel"));
  set_attribute(proto, "ceil_mode", node.attributes.integer("ceil_mode"));
  if (average)
    set_attribute(proto, "count_include_pad", node.attributes.integer("count_include_pad"));
}

// The scale by which a reader gets `to` pixels from `from`: rounded up where its product would fall
// short of a whole number.
float scale_of(int64_t from, int64_t to) {
  float scale = static_cast<float>(static_cast<double>(to) / static_cast<double>(from));
  while (static_cast<double>(scale) * static_cast<double>(from) < static_cast<double>(to)) {
    scale = std::nextafter(scale, std::numeric_limits<float>::infinity());
  }
  return scale;
}

void resize(Exporter& e) {
  const Node& node = e.node();
  const int64_t mode = node.attributes.integer("mode");
  const Shape from = e.type(node.input(0)).shape;
  const auto size = node.attributes.integers("size");
  const std::string x = e.tensor(node.input(0), nchw());
  const std::string y = e.result(nchw());
  // Scales rather than sizes, so that the batch may stay open.
  onnx::TensorProto& scales = *e.model.mutable_graph()->add_initializer();
  scales.set_name(e.unique(y + ".scales"));
  scales.set_data_type(onnx::TensorProto::FLOAT);
  scales.add_dims(4);
  for (const float s : {1.0f, 1.0f, scale_of(from[1], size[0]), scale_of(from[2], size[1])}) {
    scales.add_float_data(s);
  }
  onnx::NodeProto& proto = e.add("Resize", {x, "", scales.name()}, y);
  set_attribute(proto, "mode", mode == 0 ? "nearest" : "linear");
  const char* transform = mode == 0 ? "asymmetric" : mode == 1 ? "half_pixel" : "align_corners";
  set_attribute(proto, "coordinate_transformation_mode", transform);
  if (mode == 0) set_attribute(proto, "nearest_mode", "floor");
}

void linear(Exporter& e) {
  const Node& node = e.node();
  const ValueId x = node.input(0), w = node.input(1);
  const Shape& shape = e.type(w).shape;
  std::string input, weight;
  const bool as_held = !e.is_constant(x) && e.held(x).flattened.has_value();
  if (as_held) {
    // The rows follow the order in which the ONNX tensor was flattened.
    const Held::Flattened& f = *e.held(x).flattened;
    Shape from(f.shape.begin() + 1, f.shape.end());
    Order order;
    for (size_t i = 1; i < f.order.size(); ++i) order.push_back(f.order[i] - 1);
    order.push_back(static_cast<int64_t>(from.size()));
    from.push_back(shape[1]);
    input = e.held(x).tensor;
    weight = e.parameter(w, from, order, shape);
  } else {
    input = e.plain(x);
    weight = e.plain(w);
  }
  const size_t rank = e.type(x).rank();
  const bool has_bias = node.inputs.size() > 2;
  std::vector<std::string> inputs{input, weight};
  if (has_bias && rank == 2) inputs.push_back(e.plain(node.input(2)));
  if (rank == 2) {
    e.add("Gemm", inputs, e.result(identity_order(rank)));
  } else if (!has_bias) {
    e.add("MatMul", inputs, e.result(identity_order(rank)));
  } else {
    const std::string product = e.step("MatMul", inputs, "product");
    e.add("Add", {product, e.plain(node.input(2))}, e.result(identity_order(rank)));
  }
}

void mat_mul(Exporter& e) {
  const Node& node = e.node();
  const auto factor = [&](size_t i, const char* flag) {
    Order order = identity_order(e.type(node.input(i)).rank());
    if (node.attributes.integer(flag) != 0) std::swap(order.end()[-1], order.end()[-2]);
    return e.tensor(node.input(i), order);
  };
  const std::string a = factor(0, "transpose_a"), b = factor(1, "transpose_b");
  e.add("MatMul", {a, b}, e.result(identity_order(e.type(node.output()).rank())));
}

// A constant that broadcasts over a result of this rank, held in this order. What would be taken
// for a parameter if it were an initializer is written as a Constant node.
std::string broadcast_constant(Exporter& e, ValueId value, const Order& order) {
  const Shape wide = with_rank(e.type(value).shape, order.size());
  Shape shape = permuted(wide, order);
  if (e.type(value).rank() < order.size()) {
    while (shape.size() > 1 && shape.front() == 1) shape.erase(shape.begin());
  }
  const Value& v = e.graph().value(value);
  const bool is_vector = wide.back() == v.type.elements() && v.type.elements() > 1;
  if (v.role != Role::kConstant || !is_vector) return e.parameter(value, wide, order, shape);
  const std::string name = e.unique(v.name);
  onnx::NodeProto& proto = e.add("Constant", {}, name);
  onnx::AttributeProto& a = *proto.add_attribute();
  a.set_name("value");
  a.set_type(onnx::AttributeProto::TENSOR);
  a.mutable_t()->set_data_type(onnx::TensorProto::FLOAT);
  for (const int64_t dim : shape) a.mutable_t()->add_dims(dim);
  for (const float f : v.data->f32()) a.mutable_t()->add_float_data(f);
  return name;
}

void binary(Exporter& e, const char* op) {
  const Node& node = e.node();
  const size_t rank = e.type(node.output()).rank();
  Order order = identity_order(rank);
  int64_t largest = -1;
  for (const ValueId x : node.inputs) {
    if (e.is_constant(x) || e.type(x).rank() != rank || e.held(x).flattened) continue;
    if (e.type(x).elements() > largest) order = e.held(x).order;
    largest = std::max(largest, e.type(x).elements());
  }
  for (const ValueId x : node.inputs) {  // a lower rank lines up with the last dimensions
    if (!e.is_constant(x) && e.type(x).rank() != rank) order = identity_order(rank);
  }
  std::vector<std::string> inputs;
  for (const ValueId x : node.inputs) {
    if (e.is_constant(x)) {
      inputs.push_back(broadcast_constant(e, x, order));
    } else {
      inputs.push_back(e.type(x).rank() == rank ? e.tensor(x, order) : e.plain(x));
    }
  }
  e.add(op, inputs, e.result(order));
}

void softmax(Exporter& e) {
  const Held x = as_held(e);
  const int64_t axis = stored_position(x.order, e.node().attributes.integer("axis"));
  onnx::NodeProto& proto =
      e.add(e.node().op == &kSoftmax ? "Softmax" : "LogSoftmax", {x.tensor}, e.result(x.order));
  set_attribute(proto, "axis", axis);
}

void reduce(Exporter& e) {
  const Node& node = e.node();
  const Held x = as_held(e);
  const auto own = node.attributes.integers("axes");
  const bool keep = node.attributes.integer("keepdims") != 0;
  std::vector<int64_t> axes;
  for (const int64_t axis : own) axes.push_back(stored_position(x.order, axis));
  std::sort(axes.begin(), axes.end());
  const std::string y = e.result(keep ? x.order : without(x.order, {own.begin(), own.end()}));
  if (node.op == &kReduceMean && keep && x.order == nchw() && axes == std::vector<int64_t>{2, 3}) {
    e.add("GlobalAveragePool", {x.tensor}, y);
    return;
  }
  std::vector<std::string> inputs{x.tensor};
  if (node.op == &kReduceSum) inputs.push_back(e.integers(y + ".axes", axes));
  onnx::NodeProto& proto = e.add(node.op == &kReduceSum ? "ReduceSum" : "ReduceMean", inputs, y);
  if (node.op == &kReduceMean) set_attribute(proto, "axes", axes);
  set_attribute(proto, "keepdims", int64_t{keep});
}

}  // namespace

void add_layer_exports(ExportTable& table) {
  table[&kConv2d] = convolution;
  table[&kDepthwiseConv2d] = convolution;
  table[&kAveragePool] = pool;
  table[&kMaxPool] = pool;
  table[&kResize] = resize;
  table[&kLinear] = linear;
  table[&kMatMul] = mat_mul;
  table[&kAdd] = [](Exporter& e) { binary(e, "Add"); };
  table[&kSub] = [](Exporter& e) { binary(e, "Sub"); };
  table[&kMul] = [](Exporter& e) { binary(e, "Mul"); };
  table[&kDiv] = [](Exporter& e) { binary(e, "Div"); };
  table[&kSoftmax] = softmax;
  table[&kLogSoftmax] = softmax;
  table[&kReduceMean] = reduce;
  table[&kReduceSum] = reduce;
}

}  // namespace tinytl::internal

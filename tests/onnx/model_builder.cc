#include "tests/onnx/model_builder.h"

#include <cmath>
#include <stdexcept>

namespace tinytl {
namespace {

onnx::TensorProto& add_tensor(onnx::ModelProto& model, const std::string& name, int32_t type,
                              const Shape& shape) {
  onnx::TensorProto& tensor = *model.mutable_graph()->add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(type);
  for (const int64_t dim : shape) tensor.add_dims(dim);
  return tensor;
}

onnx::AttributeProto& add_attribute(onnx::NodeProto& node, const std::string& name,
                                    onnx::AttributeProto::AttributeType type) {
  onnx::AttributeProto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(type);
  return a;
}

}  // namespace

ModelBuilder::ModelBuilder(int64_t opset) {
  model.set_ir_version(8);
  model.add_opset_import()->set_version(opset);
  model.mutable_graph()->set_name("test");
}

ModelBuilder& ModelBuilder::input(const std::string& name, const Shape& shape) {
  onnx::ValueInfoProto& info = *model.mutable_graph()->add_input();
  info.set_name(name);
  auto& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(onnx::TensorProto::FLOAT);
  for (const int64_t dim : shape) {
    auto& d = *tensor.mutable_shape()->add_dim();
    if (dim >= 0) d.set_dim_value(dim);
    if (dim == -1) d.set_dim_param("N");
    if (dim == -2) d.set_dim_param("L");
  }
  return *this;
}

ModelBuilder& ModelBuilder::output(const std::string& name) {
  onnx::ValueInfoProto& info = *model.mutable_graph()->add_output();
  info.set_name(name);
  info.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::FLOAT);
  return *this;
}

ModelBuilder& ModelBuilder::numbers(const std::string& name, const Shape& shape,
                                    const Numbers& values) {
  onnx::TensorProto& tensor = add_tensor(model, name, onnx::TensorProto::FLOAT, shape);
  for (const float v : values) tensor.add_float_data(v);
  return *this;
}

ModelBuilder& ModelBuilder::weights(const std::string& name, const Shape& shape) {
  Numbers values(static_cast<size_t>(internal::checked_elements(shape)));
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i + 1));
  return numbers(name, shape, values);
}

ModelBuilder& ModelBuilder::integers(const std::string& name, const std::vector<int64_t>& values) {
  onnx::TensorProto& tensor =
      add_tensor(model, name, onnx::TensorProto::INT64, {static_cast<int64_t>(values.size())});
  for (const int64_t v : values) tensor.add_int64_data(v);
  return *this;
}

ModelBuilder& ModelBuilder::int8(const std::string& name, const Shape& shape,
                                 const std::vector<int>& values) {
  onnx::TensorProto& tensor = add_tensor(model, name, onnx::TensorProto::INT8, shape);
  for (const int v : values) tensor.add_int32_data(v);
  return *this;
}

onnx::NodeProto& ModelBuilder::node(const std::string& op, const std::vector<std::string>& inputs,
                                    const std::string& output) {
  onnx::NodeProto& proto = *model.mutable_graph()->add_node();
  proto.set_op_type(op);
  proto.set_name(output);
  for (const std::string& input : inputs) proto.add_input(input);
  proto.add_output(output);
  return proto;
}

internal::Translation ModelBuilder::translate(ImportOptions options) const {
  return internal::translate(internal::open_onnx(model, "model.onnx", {}), options);
}

Numbers ModelBuilder::run(const std::vector<Numbers>& inputs, int64_t batch) const {
  const internal::Translation t = translate({.batch = batch});
  return tinytl::run(t.graph, t.input_orders, inputs).at(0);
}

std::string ModelBuilder::error(ImportOptions options) const {
  try {
    translate(std::move(options));
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

void set(onnx::NodeProto& node, const std::string& name, int64_t value) {
  add_attribute(node, name, onnx::AttributeProto::INT).set_i(value);
}

void set(onnx::NodeProto& node, const std::string& name, float value) {
  add_attribute(node, name, onnx::AttributeProto::FLOAT).set_f(value);
}

void set(onnx::NodeProto& node, const std::string& name, const char* value) {
  add_attribute(node, name, onnx::AttributeProto::STRING).set_s(value);
}

void set(onnx::NodeProto& node, const std::string& name, const std::vector<int64_t>& values) {
  onnx::AttributeProto& a = add_attribute(node, name, onnx::AttributeProto::INTS);
  for (const int64_t v : values) a.add_ints(v);
}

const Node& node_named(const Graph& graph, const std::string& name) {
  for (const Node& node : graph.nodes()) {
    if (node.name == name) return node;
  }
  throw std::logic_error("no node " + name);
}

Numbers counting(size_t count) {
  Numbers numbers(count);
  for (size_t i = 0; i < count; ++i) numbers[i] = static_cast<float>(i + 1);
  return numbers;
}

}  // namespace tinytl

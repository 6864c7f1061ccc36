// The ONNX model under construction, and which ONNX tensor holds each value of the Graph.
#pragma once

#include <onnx/onnx_pb.h>

#include <map>
#include <set>

#include "engine/graph/graph.h"
#include "engine/onnx/layout.h"

namespace tinytl::internal {

// The mirror of the importer's lazy transposes: dimension i of the ONNX tensor is dimension
// order[i] of the value, so a value [N,H,W,C] is held by a tensor [N,C,H,W] in the order {0, 3, 1,
// 2}.
struct Held {
  std::string tensor;
  Order order;
  // Where the tensor flattened [N, ...] in the order of `flattened`, not of the value.
  struct Flattened {
    Shape shape;  // of the value before
    Order order;
  };
  std::optional<Flattened> flattened;
};

// A tensor to be written with the model: a persistent value seen as shape `from` with its
// dimensions put in `order`, or numbers.
struct Initializer {
  std::string name;
  Shape shape;
  ValueId value{UINT32_MAX};
  Shape from;
  Order order;
  bool is_code = false;  // of a kQ8 value: its 8 bits as they are; otherwise what it stands for.
                         // Those of an i32 value are always as they are
};

class Exporter {
 public:
  explicit Exporter(const Graph& graph);

  // The whole model but for the numbers of `initializers`.
  onnx::ModelProto model;
  std::vector<Initializer> initializers;

  void export_all();

  const Graph& graph() const { return graph_; }
  const TensorType& type(ValueId value) const { return graph_.value(value).type; }
  bool is_constant(ValueId value) const { return is_persistent(graph_.value(value).role); }
  int64_t batch() const { return batch_; }
  bool has_open_batch() const { return open_batch_; }

  const Held& held(ValueId value) const { return held_.at(value); }
  // The name of a tensor that holds the value in this order; `plain` in the value's own.
  std::string tensor(ValueId value, const Order& order);
  std::string plain(ValueId value);
  // A persistent value seen as shape `from`, its dimensions put in `order`, then of shape `shape`.
  std::string parameter(ValueId value, const Shape& from, const Order& order, const Shape& shape);
  // The real numbers of an i32 bias, in steps of x_scale times the scales of `weight`.
  std::string integer_bias(ValueId bias, ValueId weight, float x_scale);
  // Constants that only the ONNX form needs.
  std::string integers(const std::string& name, const std::vector<int64_t>& values);
  std::string number(const std::string& name, float value);
  // The inputs of a QuantizeLinear or DequantizeLinear node after the first.
  std::vector<std::string> scale_and_zero(const std::string& name, float scale, int64_t zero);
  // One name, one vector.
  std::string numbers(const std::string& name, const std::vector<float>& values);

  // Adds a node of the ONNX operator `op` and returns it; its output is `output`.
  onnx::NodeProto& add(const std::string& op, const std::vector<std::string>& inputs,
                       const std::string& output);
  // The same with a new output name, which is returned: a step on the way to a value.
  std::string step(const std::string& op, const std::vector<std::string>& inputs,
                   const std::string& suffix);
  // The tensor that will hold output 0 of the node at hand in this order.
  std::string result(Order order);
  void hold(ValueId value, Held held) { held_[value] = std::move(held); }
  std::string unique(std::string name);
  const Node& node() const { return *node_; }

 private:
  void add_inputs();
  std::string rounded_input(ValueId id);
  void add_outputs();
  bool batch_can_be_open() const;
  bool mixes_rows(const Node& node) const;
  bool has_constant_rows(const Node& node) const;
  bool feeds_window(ValueId input) const;
  void dequantize(const Initializer& weights, size_t axis, std::span<const float> scales);
  std::string moved(const std::string& tensor, const Shape& shape, const Order& permutation);
  void describe(onnx::ValueInfoProto& info, const std::string& name, const Shape& shape) const;

  const Graph& graph_;
  const Node* node_ = nullptr;
  int64_t batch_ = 0;
  bool open_batch_ = false;
  std::map<ValueId, Held> held_;
  std::map<std::string, std::string> made_;  // transposes and parameters that exist already
  std::set<std::string> names_;
};

void set_attribute(onnx::NodeProto& node, const char* name, int64_t value);
void set_attribute(onnx::NodeProto& node, const char* name, float value);
void set_attribute(onnx::NodeProto& node, const char* name, const char* text);
void set_attribute(onnx::NodeProto& node, const char* name, std::span<const int64_t> values);

}  // namespace tinytl::internal

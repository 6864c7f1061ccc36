// Small ONNX models, written node by node.
#pragma once

#include <onnx/onnx_pb.h>

#include "engine/onnx/translate.h"
#include "tests/onnx/support.h"

namespace tinytl {

class ModelBuilder {
 public:
  explicit ModelBuilder(int64_t opset = 13);

  // A dimension of -1 is the open batch "N", -2 the open size "L".
  ModelBuilder& input(const std::string& name, const Shape& shape);
  ModelBuilder& output(const std::string& name);
  ModelBuilder& numbers(const std::string& name, const Shape& shape, const Numbers& values);
  // sin(i + 1) for element i: no two rows or channels alike.
  ModelBuilder& weights(const std::string& name, const Shape& shape);
  ModelBuilder& integers(const std::string& name, const std::vector<int64_t>& values);
  ModelBuilder& int8(const std::string& name, const Shape& shape, const std::vector<int>& values);
  // A node named as its output, to which attributes may be added.
  onnx::NodeProto& node(const std::string& op, const std::vector<std::string>& inputs,
                        const std::string& output);

  onnx::ModelProto model;

  internal::Translation translate(ImportOptions options = {}) const;
  Graph graph(int64_t batch = 1) const { return translate({.batch = batch}).graph; }
  // Output 0 for these inputs, all in the dimension order of the model.
  Numbers run(const std::vector<Numbers>& inputs, int64_t batch = 1) const;
  // The one-line error of importing it; "" where that works.
  std::string error(ImportOptions options = {}) const;
};

void set(onnx::NodeProto& node, const std::string& name, int64_t value);
void set(onnx::NodeProto& node, const std::string& name, float value);
void set(onnx::NodeProto& node, const std::string& name, const char* value);
void set(onnx::NodeProto& node, const std::string& name, const std::vector<int64_t>& values);

// The node of that name, which must exist.
const Node& node_named(const Graph& graph, const std::string& name);

// 1, 2, 3, ...
Numbers counting(size_t count);

}  // namespace tinytl

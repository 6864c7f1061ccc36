// One node of an ONNX file, read safely.
#pragma once

#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace onnx {
class AttributeProto;
class NodeProto;
}  // namespace onnx

namespace tinytl::internal {

// Why a node cannot be imported. The translator collects these and reports them together.
class Unsupported : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
inline void require(bool ok, const std::string& message) {
  if (!ok) throw Unsupported(message);
}

class OnnxNode {
 public:
  OnnxNode(const onnx::NodeProto& proto, int64_t opset);

  const std::string& name() const { return name_; }  // of its first output where it has none
  const std::string& op() const;
  int64_t opset() const { return opset_; }

  size_t inputs() const;
  const std::string& input(size_t i) const;  // "" where the optional input is left out
  bool has_input(size_t i) const { return !input(i).empty(); }
  size_t outputs() const;
  const std::string& output(size_t i) const;

  // Attributes, with the value where there is none. Throw Unsupported for another kind.
  bool has(std::string_view attribute) const { return find(attribute) != nullptr; }
  int64_t integer(std::string_view attribute, int64_t otherwise) const;
  bool flag(std::string_view attribute) const { return integer(attribute, 0) != 0; }
  float number(std::string_view attribute, float otherwise) const;
  std::vector<int64_t> integers(std::string_view attribute,
                                std::vector<int64_t> otherwise = {}) const;
  std::vector<float> numbers(std::string_view attribute) const;
  std::string text(std::string_view attribute, std::string otherwise) const;
  void ignore(std::string_view attribute) const { read_.insert(std::string(attribute)); }

  // An attribute nobody asked for: it may change the meaning of the node. "" where there is none.
  std::string unread_attribute() const;

  const onnx::NodeProto& proto() const { return proto_; }

 private:
  const onnx::AttributeProto* find(std::string_view attribute) const;

  const onnx::NodeProto& proto_;
  int64_t opset_;
  std::string name_;
  mutable std::set<std::string> read_;
};

}  // namespace tinytl::internal

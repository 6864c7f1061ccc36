#include "engine/onnx/onnx_node.h"

#include <onnx/onnx_pb.h>

namespace tinytl::internal {
namespace {

const std::string kAbsent;

void require_kind(const onnx::AttributeProto& a, onnx::AttributeProto::AttributeType type) {
  require(a.type() == type, "attribute \"" + a.name() + "\" is of another kind than expected");
}

}  // namespace

OnnxNode::OnnxNode(const onnx::NodeProto& proto, int64_t opset)
    : proto_(proto), opset_(opset), name_(proto.name()) {
  for (int i = 0; i < proto.output_size() && name_.empty(); ++i) name_ = proto.output(i);
}

const std::string& OnnxNode::op() const { return proto_.op_type(); }
size_t OnnxNode::inputs() const { return static_cast<size_t>(proto_.input_size()); }
size_t OnnxNode::outputs() const { return static_cast<size_t>(proto_.output_size()); }

const std::string& OnnxNode::input(size_t i) const {
  return i < inputs() ? proto_.input(static_cast<int>(i)) : kAbsent;
}

const std::string& OnnxNode::output(size_t i) const {
  return i < outputs() ? proto_.output(static_cast<int>(i)) : kAbsent;
}

const onnx::AttributeProto* OnnxNode::find(std::string_view attribute) const {
  for (const auto& a : proto_.attribute()) {
    if (a.name() != attribute) continue;
    read_.insert(a.name());
    return &a;
  }
  return nullptr;
}

int64_t OnnxNode::integer(std::string_view attribute, int64_t otherwise) const {
  const auto* a = find(attribute);
  if (a == nullptr) return otherwise;
  require_kind(*a, onnx::AttributeProto::INT);
  return a->i();
}

float OnnxNode::number(std::string_view attribute, float otherwise) const {
  const auto* a = find(attribute);
  if (a == nullptr) return otherwise;
  require_kind(*a, onnx::AttributeProto::FLOAT);
  return a->f();
}

std::vector<int64_t> OnnxNode::integers(std::string_view attribute,
                                        std::vector<int64_t> otherwise) const {
  const auto* a = find(attribute);
  if (a == nullptr) return otherwise;
  require_kind(*a, onnx::AttributeProto::INTS);
  return {a->ints().begin(), a->ints().end()};
}

std::vector<float> OnnxNode::numbers(std::string_view attribute) const {
  const auto* a = find(attribute);
  if (a == nullptr) return {};
  require_kind(*a, onnx::AttributeProto::FLOATS);
  return {a->floats().begin(), a->floats().end()};
}

std::string OnnxNode::text(std::string_view attribute, std::string otherwise) const {
  const auto* a = find(attribute);
  if (a == nullptr) return otherwise;
  require_kind(*a, onnx::AttributeProto::STRING);
  return a->s();
}

std::string OnnxNode::unread_attribute() const {
  for (const auto& a : proto_.attribute()) {
    if (!read_.contains(a.name())) return a.name();
  }
  return "";
}

}  // namespace tinytl::internal

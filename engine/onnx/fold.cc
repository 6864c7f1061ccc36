#include "engine/onnx/fold.h"

#include <onnx/onnx_pb.h>

#include <algorithm>

namespace tinytl::internal {
namespace {

using Proto = onnx::TensorProto;

LiteralPtr constant(const OnnxNode& node) {
  for (const auto& a : node.proto().attribute()) {
    if (a.name() == "value" && a.type() == onnx::AttributeProto::TENSOR) {
      node.ignore("value");
      Proto copy = a.t();
      return take_literal(copy, {});
    }
  }
  if (node.has("value_float")) return make_literal({}, std::vector{node.number("value_float", 0)});
  if (node.has("value_int")) return make_literal({}, std::vector{node.integer("value_int", 0)});
  if (node.has("value_floats")) {
    const auto v = node.numbers("value_floats");
    return make_literal({static_cast<int64_t>(v.size())}, v);
  }
  const auto v = node.integers("value_ints");
  require(node.has("value_ints"), "kind of constant");
  return make_literal({static_cast<int64_t>(v.size())}, v);
}

LiteralPtr cast(const OnnxNode& node, const Literals& inputs) {
  const Literal& x = first_of(inputs);
  node.ignore("saturate");
  switch (node.integer("to", 0)) {
    case Proto::FLOAT:
    case Proto::DOUBLE:
    case Proto::FLOAT16:
      return unified(inputs[0], ElementType::kF32);
    case Proto::INT64:
    case Proto::INT32:
      return unified(inputs[0], ElementType::kI64);
    case Proto::BOOL: {
      std::vector<int64_t> truth;
      for (const float v : floats_of(x)) truth.push_back(v != 0);
      return make_literal(x.shape, truth);
    }
    default:
      throw Unsupported("target type " + std::to_string(node.integer("to", 0)));
  }
}

LiteralPtr constant_of_shape(const OnnxNode& node, const Literals& inputs) {
  const Shape shape = integers_of(first_of(inputs));
  checked_elements(shape);
  LiteralPtr value = make_literal({1}, std::vector<float>{0});
  if (node.proto().attribute_size() > 0) value = constant(node);
  require(value->elements() == 1, "value must have one element");
  return strided(*value, shape, 0, Shape(shape.size(), 0));
}

LiteralPtr shape_of(const OnnxNode& node, const Shape& shape) {
  const auto rank = static_cast<int64_t>(shape.size());
  const auto bounded = [&](int64_t v) {
    return std::clamp<int64_t>(v < 0 ? v + rank : v, 0, rank);
  };
  const int64_t start = bounded(node.integer("start", 0)), end = bounded(node.integer("end", rank));
  Shape part;
  for (int64_t d = start; d < end; ++d) part.push_back(shape[size_t(d)]);
  return make_literal({static_cast<int64_t>(part.size())}, part);
}

LiteralPtr range(const OnnxNode&, const Literals& inputs) {
  require(inputs.size() == 3, "needs start, limit and step");
  for (const LiteralPtr& i : inputs) require(i && i->elements() == 1, "needs scalars");
  const bool integer = is_integer(inputs[0]->type);
  const double start = floats_of(*inputs[0])[0], limit = floats_of(*inputs[1])[0],
               step = floats_of(*inputs[2])[0];
  const double count = (limit - start) / step;
  require(count < 1e6, "range is too long");
  std::vector<float> numbers;
  std::vector<int64_t> integers;
  for (double i = 0; i < count; ++i) {
    numbers.push_back(static_cast<float>(start + i * step));
    integers.push_back(static_cast<int64_t>(start + i * step));
  }
  const Shape shape{static_cast<int64_t>(numbers.size())};
  return integer ? make_literal(shape, integers) : make_literal(shape, numbers);
}

LiteralPtr identity(const OnnxNode&, const Literals& inputs) {
  first_of(inputs);
  return inputs[0];
}

LiteralPtr size(const OnnxNode&, const Literals& inputs) {
  return make_literal({}, std::vector<int64_t>{checked_elements(first_of(inputs).shape)});
}

const FoldTable& folds() {
  static const FoldTable table = [] {
    FoldTable t{
        {"Constant", [](const OnnxNode& n, const Literals&) { return constant(n); }},
        {"ConstantOfShape", constant_of_shape},
        {"Shape",
         [](const OnnxNode& n, const Literals& in) { return shape_of(n, first_of(in).shape); }},
        {"Size", size},
        {"Identity", identity},
        {"Cast", cast},
        {"Range", range},
        {"QuantizeLinear", fold_quantize},
        {"DequantizeLinear", fold_dequantize},
    };
    add_shape_folds(t);
    return t;
  }();
  return table;
}

}  // namespace

const Literal& first_of(const Literals& inputs) {
  require(!inputs.empty() && inputs[0] != nullptr, "needs an input");
  return *inputs[0];
}

LiteralPtr unified(const LiteralPtr& literal, ElementType type) {
  if (literal->type == type) return literal;
  if (type == ElementType::kF32) return make_literal(literal->shape, floats_of(*literal));
  return make_literal(literal->shape, integers_of(*literal));
}

std::optional<Literals> fold(const OnnxNode& node, Literals inputs) {
  const auto entry = folds().find(node.op());
  // Identity hands on what it is given; everything else looks at the numbers.
  if (node.op() != "Identity") std::transform(inputs.begin(), inputs.end(), inputs.begin(), loaded);
  if (node.op() == "Split") return fold_split(node, inputs);
  if (entry != folds().end()) return Literals{entry->second(node, inputs)};
  if (const auto result = fold_arithmetic(node, inputs)) return Literals{*result};
  return std::nullopt;
}

}  // namespace tinytl::internal

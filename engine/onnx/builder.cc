#include "engine/onnx/builder.h"

#include <algorithm>

#include "engine/ops/op_table.h"

namespace tinytl::internal {

void Builder::define(std::string tensor, Operand operand) {
  operand.tensor = tensor;
  if (operand.literal == nullptr) {
    Value& value = graph.value(operand.value);
    if (value.role == Role::kActivation) value.name = tensor;
  }
  operands_[std::move(tensor)] = std::move(operand);
}

void Builder::define_constant(const std::string& tensor, LiteralPtr literal,
                              std::string parameter) {
  Operand operand;
  operand.literal = std::move(literal);
  operand.parameter = std::move(parameter);
  define(tensor, std::move(operand));
}

const Operand* Builder::find(const std::string& tensor) const {
  const auto found = operands_.find(tensor);
  return found == operands_.end() ? nullptr : &found->second;
}

const Operand& Builder::input(const OnnxNode& node, size_t i) const {
  const Operand* operand = find(node.input(i));
  require(operand != nullptr, "input " + std::to_string(i) + " is missing");
  require(!operand->quantized, "reads quantized integers, which only DequantizeLinear may");
  return *operand;
}

LiteralPtr Builder::constant_input(const OnnxNode& node, size_t i, const char* what) const {
  const LiteralPtr literal = input(node, i).literal;
  require(literal != nullptr, std::string(what) + " must be a constant of the file");
  return literal;
}

Literals Builder::literals(const OnnxNode& node) const {
  Literals result;
  for (size_t i = 0; i < node.inputs(); ++i) {
    const Operand* operand = find(node.input(i));
    result.push_back(operand == nullptr ? nullptr : operand->literal);
  }
  return result;
}

bool Builder::is_only_reader(const OnnxNode& node, size_t i) const {
  const Operand* operand = find(node.input(i));
  return operand != nullptr && operand->exclusive && uses_.at(node.input(i)) == 1;
}

void Builder::result(const OnnxNode& node, ValueId value, Order order) {
  Operand operand;
  operand.value = value;
  operand.order = std::move(order);
  define(node.output(0), std::move(operand));
}

void Builder::result(const OnnxNode& node, ValueId value) {
  result(node, value, identity_order(type(value).rank()));
}

Shape Builder::shape_of(const Operand& operand) const {
  if (operand.literal != nullptr) return operand.literal->shape;
  const Shape& stored = type(operand.value).shape;
  Shape shape(stored.size());
  for (size_t j = 0; j < stored.size(); ++j) shape[size_t(operand.order[j])] = stored[j];
  return shape;
}

const Node* Builder::producer(ValueId value, const OpDef& op) const {
  const NodeId id = graph.value(value).producer;
  if (id == kNoNode || graph.node(id).op != &op) return nullptr;
  return &graph.node(id);
}

ValueId Builder::emit(const OpDef& op, std::vector<ValueId> inputs, Attributes attributes) {
  const ValueId value =
      tinytl::emit(graph, op, node_name_, std::move(inputs), std::move(attributes));
  checked_elements(type(value).shape);
  return value;
}

ValueId Builder::view(ValueId value, const Shape& shape) {
  if (type(value).shape == shape) return value;
  if (const Node* reshape = producer(value, kReshape)) return view(reshape->input(0), shape);
  return emit(kReshape, {value}, {{"shape", shape}});
}

ValueId Builder::transposed(ValueId value, const Order& permutation) {
  if (is_identity(permutation)) return value;
  const Shape shape = type(value).shape;
  if (moves_only_ones(shape, permutation)) return view(value, permuted(shape, permutation));
  const std::string key = std::to_string(index(value)) + " by " + to_string(permutation);
  const auto made = made_.find(key);
  if (made != made_.end()) return made->second;
  return made_[key] = emit(kTranspose, {value}, {{"perm", permutation}});
}

ValueId Builder::unflattened(const Operand& operand) {
  const Flattened& f = *operand.flattened;
  const ValueId apart = view(operand.value, permuted(f.shape, f.order));
  const ValueId ordered = transposed(apart, between(f.order, identity_order(f.shape.size())));
  return view(ordered, type(operand.value).shape);
}

ValueId Builder::stored(const Operand& operand, const Order& order) {
  if (operand.literal != nullptr) {
    const Shape& shape = operand.literal->shape;
    return parameter(operand, Role::kConstant, {shape, order, permuted(shape, order)}, "constant");
  }
  const ValueId value = operand.flattened ? unflattened(operand) : operand.value;
  return transposed(value, between(operand.order, order));
}

ValueId Builder::logical(const Operand& operand) {
  const size_t rank = operand.literal ? operand.literal->shape.size() : operand.order.size();
  return stored(operand, identity_order(rank));
}

Operand Builder::plain(const Operand& operand) {
  if (operand.literal == nullptr && !operand.flattened) return operand;
  Operand result = operand;
  result.value = logical(operand);
  result.literal = nullptr;
  result.flattened.reset();
  result.order = identity_order(type(result.value).rank());
  return result;
}

Operand Builder::reshaped(const Operand& operand, const Shape& shape) {
  Operand x = plain(operand);
  const Shape from = shape_of(x);
  if (from == shape) return x;
  const auto order = reshaped_order(from, x.order, shape);
  if (order) {
    x.value = view(x.value, permuted(shape, *order));
    x.order = *order;
    return x;
  }
  const bool keeps_batch = x.order[0] == 0 && shape.size() == 2 && shape[0] == from[0];
  if (keeps_batch) {
    x.flattened = Flattened{from, x.order};
    x.value = view(x.value, shape);
  } else {
    x.value = view(logical(x), shape);
  }
  x.order = identity_order(shape.size());
  return x;
}

ValueId Builder::parameter(const Operand& operand, Role role, const Arrangement& arrangement,
                           const std::string& suffix) {
  const auto& [from, order, to] = arrangement;
  const std::string key = operand.tensor + " as " + std::to_string(static_cast<int>(role)) +
                          to_string(from) + to_string(order) + to_string(to);
  const auto made = made_.find(key);
  if (made != made_.end()) return made->second;
  if (role == Role::kWeight) pack_weights();
  const Literal& literal = *operand.literal;
  require(literal.type == ElementType::kF32, "constant \"" + operand.tensor + "\" must be float");
  auto tensor = std::make_shared<Tensor>(TensorType{DType::kF32, to});
  std::string name = operand.parameter.empty() ? node_name_ + "." + suffix : operand.parameter;
  while (!names_.insert(name).second) name += "'";
  if (!without_values.contains(name)) {
    Transposer transposer(from, order, tensor->f32());
    literal.for_each_piece([&](std::span<const float> piece) { transposer.write(piece); });
  }
  const bool is_packed_later = packed.names.contains(name);
  const ValueId id = graph.add_persistent(std::move(name), role, std::move(tensor));
  if (is_packed_later) to_pack_.push_back(id);
  made_[key] = id;
  const auto uses = uses_.find(operand.tensor);
  if (uses != uses_.end() && uses->second > 1) shared_.insert(id);
  return id;
}

std::span<float> Builder::numbers_of(ValueId parameter) {
  Value& value = graph.value(parameter);
  if (is_packed(value.type.dtype)) {
    auto floats = std::make_shared<Tensor>(TensorType{DType::kF32, value.type.shape});
    unpack(*value.data, floats->f32());
    value.type = floats->type();
    value.data = std::move(floats);
    to_pack_.push_back(parameter);
  }
  return value.data->f32();
}

void Builder::pack_weights() {
  for (const ValueId id : to_pack_) {
    Value& value = graph.value(id);
    value.data = tinytl::pack_weights(*value.data, packed.as);
    value.type = value.data->type();
  }
  to_pack_.clear();
}

std::optional<ValueId> Builder::quantized_weight(const Operand& operand,
                                                 const Arrangement& arrangement) {
  const auto& [from, order, to] = arrangement;
  const Levels* const levels = operand.literal->levels.get();
  if (levels == nullptr || operand.parameter.empty()) return std::nullopt;
  const ElementType type = levels->of->type;
  const int64_t middle = type == ElementType::kU8 ? 128 : 0;
  const bool has_8_bits = type == ElementType::kI8 || type == ElementType::kU8;
  const bool by_first =
      levels->scale.size() == 1 || (static_cast<int64_t>(levels->scale.size()) == from[0] &&
                                    levels->inner * from[0] == operand.literal->elements());
  const auto is_middle = [&](int64_t zero) { return zero == middle; };
  if (!has_8_bits || !by_first || !std::ranges::all_of(levels->zero_point, is_middle)) {
    return std::nullopt;
  }
  const std::string key = operand.tensor + " as q8";
  const auto made = made_.find(key);
  if (made != made_.end()) return made->second;
  auto tensor = std::make_shared<Tensor>(TensorType{DType::kQ8, to});
  std::string name = operand.parameter;
  while (!names_.insert(name).second) name += "'";
  if (!without_values.contains(name)) {
    std::vector<float> ordered(static_cast<size_t>(operand.literal->elements()));
    Transposer transposer(from, order, ordered);
    for_each_integer(*levels->of, [&](int64_t level) {
      const auto element = static_cast<float>(level - middle);
      transposer.write(std::span(&element, 1));
    });
    auto* const codes = reinterpret_cast<int8_t*>(tensor->bytes().data());
    std::ranges::transform(ordered, codes, [](float v) { return static_cast<int8_t>(v); });
  }
  auto* const scale =
      reinterpret_cast<float*>(tensor->bytes().data() + tensor->type().scale_offset());
  for (size_t c = 0; c < static_cast<size_t>(from[0]); ++c) {
    scale[c] = levels->scale[levels->scale.size() == 1 ? 0 : c];
  }
  return made_[key] = graph.add_persistent(std::move(name), Role::kWeight, std::move(tensor));
}

ValueId Builder::new_parameter(std::string name, Role role, Shape shape,
                               std::span<const float> values) {
  while (!names_.insert(name).second) name += "'";
  return graph.add_persistent(std::move(name), role, make_tensor(std::move(shape), values));
}

}  // namespace tinytl::internal

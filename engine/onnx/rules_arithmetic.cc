// Add, Sub, Mul, Div and what folds into the layer before them.

#include <algorithm>
#include <cmath>

#include "engine/onnx/rules.h"

namespace tinytl::internal {
namespace {

// Which operand order suits a broadcast result of this rank: that of the largest value that has it.
Order common_order(Builder& builder, std::initializer_list<const Operand*> operands, size_t rank) {
  Order best = identity_order(rank);
  int64_t largest = -1;
  for (const Operand* operand : operands) {
    if (operand->literal != nullptr || operand->flattened || operand->order.size() != rank)
      continue;
    const int64_t elements = builder.type(operand->value).elements();
    if (elements > largest) best = operand->order;
    largest = std::max(largest, elements);
  }
  return best;
}

Shape with_rank(const Shape& shape, size_t rank) {
  Shape result(rank - shape.size(), 1);
  result.insert(result.end(), shape.begin(), shape.end());
  return result;
}

// The dimensions of `shape` larger than 1.
std::vector<size_t> wide_dimensions(const Shape& shape) {
  std::vector<size_t> dims;
  for (size_t d = 0; d < shape.size(); ++d) {
    if (shape[d] != 1) dims.push_back(d);
  }
  return dims;
}

// Attention masks hold numbers like -10000 or -infinity; nothing learnt is as large.
bool is_mask(const Literal& literal) {
  constexpr float kLargestLearnt = 1000;
  bool large = false;
  literal.for_each_piece([&](std::span<const float> piece) {
    for (const float x : piece) large = large || !(std::abs(x) < kLargestLearnt);
  });
  return large;
}

// A named vector along the last stored dimension is a parameter: a bias or a scale of a layer. So
// is a table of such vectors that is added, a position embedding, which counts as a weight.
// Everything else is part of the formula.
Role role_of(const OpDef& op, const Operand& operand, const Shape& wide, const Order& order) {
  const auto dims = wide_dimensions(wide);
  const bool rows = !dims.empty() && static_cast<int64_t>(dims.back()) == order.back();
  const bool added = &op == &kAdd || &op == &kSub;
  if (operand.parameter.empty() || !rows) return Role::kConstant;
  if (dims.size() == 1) return added ? Role::kBias : Role::kWeight;
  return added && !is_mask(*operand.literal) ? Role::kWeight : Role::kConstant;
}

// A constant operand of a result stored in `order`.
ValueId constant_operand(Builder& builder, const OpDef& op, const Operand& operand,
                         const Order& order) {
  const Shape wide = with_rank(operand.literal->shape, order.size());
  const Role role = role_of(op, operand, wide, order);
  Shape shape = permuted(wide, order);
  while (shape.size() > 1 && shape.front() == 1) shape.erase(shape.begin());
  if (shape.empty()) shape = {1};
  const char* suffix = role == Role::kBias ? "bias" : role == Role::kWeight ? "weight" : "constant";
  return builder.parameter(operand, role, {wide, order, shape}, suffix);
}

ValueId value_operand(Builder& builder, const OpDef& op, const Operand& operand,
                      const Order& order) {
  if (operand.literal != nullptr) return constant_operand(builder, op, operand, order);
  const Shape wide = with_rank(builder.shape_of(operand), order.size());
  return builder.stored(builder.reshaped(operand, wide), order);
}

void binary(Builder& builder, const OnnxNode& node, const OpDef& op) {
  node.ignore("broadcast");  // opset 6, where without "axis" it is NumPy's
  const Operand &a = builder.input(node, 0), &b = builder.input(node, 1);
  const Shape out = broadcast_of(builder.shape_of(a), builder.shape_of(b));
  const Order order = common_order(builder, {&a, &b}, out.size());
  const ValueId x = value_operand(builder, op, a, order), y = value_operand(builder, op, b, order);
  const ValueId z = builder.emit(op, {x, y});
  builder.result(node, builder.view(z, permuted(out, order)), order);
}

// The operands of a commutative node as (value, constant), or nothing.
struct ValueAndConstant {
  size_t value_at;
  const Operand *value, *constant;
};
std::optional<ValueAndConstant> value_and_constant(Builder& builder, const OnnxNode& node,
                                                   bool commutative) {
  const Operand &a = builder.input(node, 0), &b = builder.input(node, 1);
  if (!a.literal && b.literal && !is_integer(b.literal->type)) return {{0, &a, &b}};
  if (commutative && a.literal && !b.literal && !is_integer(a.literal->type)) return {{1, &b, &a}};
  return std::nullopt;
}

bool is_scalar_for(Builder& builder, const ValueAndConstant& pair) {
  return pair.constant->literal->elements() == 1 &&
         pair.constant->literal->shape.size() <= builder.shape_of(*pair.value).size();
}

// Add or Mul of one number per channel, straight after the layer that computes the channels.
bool fold_into_layer(Builder& builder, const OnnxNode& node, const ValueAndConstant& pair,
                     bool is_scale) {
  if (!builder.is_only_reader(node, pair.value_at)) return false;
  const Shape shape = builder.shape_of(*pair.value);
  if (pair.constant->literal->shape.size() > shape.size() || pair.value->order.empty())
    return false;
  const Shape wide = with_rank(pair.constant->literal->shape, shape.size());
  const int64_t channel = pair.value->order.back();
  const auto dims = wide_dimensions(wide);
  if (dims != std::vector<size_t>{static_cast<size_t>(channel)}) return false;
  Affine affine;
  (is_scale ? affine.scale : affine.shift) = floats_of(*pair.constant->literal);
  affine.bias_name = pair.constant->parameter;
  if (!fold_affine(builder, *pair.value, channel, affine)) return false;
  define_alias(builder, node, *pair.value, pair.value_at);
  return true;
}

void add(Builder& builder, const OnnxNode& node) {
  const auto pair = value_and_constant(builder, node, true);
  if (pair && fold_into_layer(builder, node, *pair, false)) return;
  binary(builder, node, kAdd);
}

void scale(Builder& builder, const OnnxNode& node, const ValueAndConstant& pair, float factor) {
  const Operand x = *pair.value;
  const ValueId y = builder.emit(kScale, {x.value}, {{"factor", factor}});
  Operand result;
  result.value = y;
  result.order = x.order;
  result.flattened = x.flattened;
  builder.define(node.output(0), std::move(result));
}

void mul(Builder& builder, const OnnxNode& node) {
  const auto pair = value_and_constant(builder, node, true);
  if (pair && is_scalar_for(builder, *pair)) {
    return scale(builder, node, *pair, floats_of(*pair->constant->literal)[0]);
  }
  if (pair && fold_into_layer(builder, node, *pair, true)) return;
  binary(builder, node, kMul);
}

void div(Builder& builder, const OnnxNode& node) {
  const auto pair = value_and_constant(builder, node, false);
  if (pair && is_scalar_for(builder, *pair)) {
    const float divisor = floats_of(*pair->constant->literal)[0];
    if (std::isfinite(1 / divisor)) return scale(builder, node, *pair, 1 / divisor);
  }
  binary(builder, node, kDiv);
}

void sub(Builder& builder, const OnnxNode& node) {
  const auto pair = value_and_constant(builder, node, false);
  if (pair && is_scalar_for(builder, *pair) && floats_of(*pair->constant->literal)[0] == 0) {
    return define_alias(builder, node, *pair->value);
  }
  binary(builder, node, kSub);
}

void sum(Builder& builder, const OnnxNode& node) {
  require(node.inputs() >= 1, "needs an input");
  Operand total = builder.plain(builder.input(node, 0));
  for (size_t i = 1; i < node.inputs(); ++i) {
    const Operand& next = builder.input(node, i);
    const Shape out = broadcast_of(builder.shape_of(total), builder.shape_of(next));
    const Order order = common_order(builder, {&total, &next}, out.size());
    total.value = builder.emit(kAdd, {value_operand(builder, kAdd, total, order),
                                      value_operand(builder, kAdd, next, order)});
    total.order = order;
  }
  total.exclusive = node.inputs() > 1 || builder.is_only_reader(node, 0);
  builder.define(node.output(0), std::move(total));
}

// The node that computed the operand, through reshapes, if its last stored dimension is `channel`.
std::optional<NodeId> layer_of(Builder& builder, const Operand& operand, int64_t channel) {
  if (operand.literal || operand.flattened || operand.order.empty()) return std::nullopt;
  if (operand.order.back() != channel) return std::nullopt;
  ValueId value = operand.value;
  const int64_t channels = builder.type(value).shape.back();
  while (const Node* reshape = builder.producer(value, kReshape)) value = reshape->input(0);
  const Shape& shape = builder.type(value).shape;
  if (shape.empty() || shape.back() != channels) return std::nullopt;
  for (const OpDef* op : {&kConv2d, &kDepthwiseConv2d, &kLinear}) {
    if (builder.producer(value, *op) != nullptr) return builder.graph.value(value).producer;
  }
  return std::nullopt;
}

}  // namespace

bool fold_affine(Builder& builder, const Operand& operand, int64_t channel, const Affine& affine) {
  const auto layer = layer_of(builder, operand, channel);
  if (!layer) return false;
  const std::vector<ValueId> inputs = builder.graph.node(*layer).inputs;
  const bool has_bias = inputs.size() == 3;
  const bool changes_weight = !affine.scale.empty();
  const size_t channels = size_t(builder.graph.value(inputs[1]).type.shape.back());
  if (changes_weight && (affine.scale.size() != channels || builder.is_shared(inputs[1])))
    return false;
  if (!affine.shift.empty() && affine.shift.size() != channels) return false;
  if (has_bias && builder.is_shared(inputs[2])) return false;
  const auto update = [&](ValueId id, const std::vector<float>& numbers, auto change) {
    const std::span<float> values = builder.numbers_of(id);
    for (size_t i = 0; i < values.size(); ++i) change(values[i], numbers[i % numbers.size()]);
  };
  if (changes_weight) {
    const auto multiply = [](float& v, float s) { v *= s; };
    update(inputs[1], affine.scale, multiply);
    if (has_bias) update(inputs[2], affine.scale, multiply);
  }
  if (affine.shift.empty()) return true;
  if (has_bias) {
    update(inputs[2], affine.shift, [](float& v, float s) { v += s; });
    return true;
  }
  std::string name = affine.bias_name;
  if (name.empty()) name = builder.graph.node(*layer).name + ".bias";
  const ValueId bias = builder.new_parameter(name, Role::kBias, {int64_t(channels)}, affine.shift);
  builder.graph.node(*layer).inputs.push_back(bias);
  return true;
}

void add_arithmetic_rules(RuleTable& rules) {
  rules["Add"] = add;
  rules["Sub"] = sub;
  rules["Mul"] = mul;
  rules["Div"] = div;
  rules["Sum"] = sum;
}

}  // namespace tinytl::internal

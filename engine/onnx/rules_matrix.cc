// MatMul and Gemm.

#include "engine/onnx/rules.h"

namespace tinytl::internal {
namespace {

// A [K,O] (or, transposed, [O,K]) constant as the [K,O] weight of a Linear. Where x was flattened,
// its rows are put in the order in which x is stored: a permutation of [C,H,W,O] or [O,C,H,W].
ValueId linear_weight(Builder& builder, const Operand& weight, bool transposed,
                      const std::optional<Flattened>& flattened) {
  const Shape& s = weight.literal->shape;
  const Shape shape = transposed ? Shape{s[1], s[0]} : s;
  Shape rows{shape[0]};
  Order order{0};
  if (flattened) {
    rows.assign(flattened->shape.begin() + 1, flattened->shape.end());
    order.assign(flattened->order.begin() + 1, flattened->order.end());
    for (int64_t& dim : order) --dim;
  }
  if (transposed) {
    for (int64_t& dim : order) ++dim;
  }
  order.push_back(transposed ? 0 : static_cast<int64_t>(rows.size()));
  rows.insert(transposed ? rows.begin() : rows.end(), shape[1]);
  return builder.parameter(weight, Role::kWeight, {rows, order, shape}, "weight");
}

// x . w for a constant matrix w.
ValueId linear(Builder& builder, const Operand& x, const Operand& w, bool transposed) {
  const Shape shape = builder.shape_of(x), weight = w.literal->shape;
  require(!shape.empty() && shape.back() == weight[transposed ? 1 : 0],
          "input " + to_string(shape) + " and weights " + to_string(weight) + " do not fit");
  const bool as_stored = x.literal == nullptr && x.flattened;
  const ValueId value = as_stored ? x.value : builder.logical(x);
  const ValueId matrix =
      linear_weight(builder, w, transposed, as_stored ? x.flattened : std::nullopt);
  return builder.emit(kLinear, {value, matrix});
}

// An operand of a matrix product of values: as it is stored, if that only swaps rows and columns.
struct Factor {
  ValueId value;
  bool transposed = false;
};

Factor factor(Builder& builder, const Operand& operand) {
  if (operand.literal != nullptr) {
    const Shape& shape = operand.literal->shape;
    return {builder.parameter(operand, Role::kWeight, {shape, identity_order(shape.size()), shape},
                              "weight")};
  }
  Order swapped = identity_order(operand.order.size());
  if (swapped.size() >= 2) std::swap(swapped.end()[-1], swapped.end()[-2]);
  if (!operand.flattened && swapped.size() >= 2 && operand.order == swapped) {
    return {operand.value, true};
  }
  return {builder.logical(operand)};
}

void mat_mul(Builder& builder, const OnnxNode& node) {
  const Operand& a = builder.input(node, 0);
  const Operand& b = builder.input(node, 1);
  if (b.literal != nullptr && b.literal->shape.size() == 2) {
    builder.result(node, linear(builder, a, b, false));
    return;
  }
  const Shape left = builder.shape_of(a), right = builder.shape_of(b);
  require(!left.empty() && !right.empty(), "scalars cannot be multiplied as matrices");
  Factor x = factor(builder, a), y = factor(builder, b);
  // Vectors are matrices of one row (left) or column (right), which goes again afterwards.
  if (left.size() == 1) x.value = builder.view(x.value, {1, left[0]});
  if (right.size() == 1) y.value = builder.view(y.value, {right[0], 1});
  const ValueId product = builder.emit(
      kMatMul, {x.value, y.value},
      {{"transpose_a", int64_t{x.transposed}}, {"transpose_b", int64_t{y.transposed}}});
  Shape shape = builder.type(product).shape;
  if (right.size() == 1) shape.pop_back();
  if (left.size() == 1) shape.erase(shape.end() - (right.size() == 1 ? 1 : 2));
  builder.result(node, builder.view(product, shape));
}

ValueId scaled(Builder& builder, ValueId value, float factor) {
  if (factor == 1) return value;
  return builder.emit(kScale, {value}, {{"factor", factor}});
}

// C as one number for each column, where it is that; else null.
std::shared_ptr<std::vector<float>> column_bias(const Operand& c, int64_t columns, float beta) {
  if (c.literal == nullptr || is_integer(c.literal->type)) return nullptr;
  const Shape& s = c.literal->shape;
  if (s != Shape{columns} && s != Shape{1, columns} && c.literal->elements() != 1) return nullptr;
  auto bias = std::make_shared<std::vector<float>>(floats_of(*c.literal));
  if (bias->size() == 1) bias->resize(static_cast<size_t>(columns), bias->front());
  for (float& v : *bias) v *= beta;
  return bias;
}

ValueId plus_c(Builder& builder, const OnnxNode& node, ValueId y, float beta) {
  const Operand& c = builder.input(node, 2);
  const int64_t columns = builder.type(y).dim(1);
  const NodeId producer = builder.graph.value(y).producer;
  const auto bias = column_bias(c, columns, beta);
  const bool is_linear = builder.producer(y, kLinear) != nullptr;
  if (bias == nullptr || !is_linear) {
    return builder.emit(kAdd, {y, scaled(builder, builder.logical(c), beta)});
  }
  ValueId b{};
  if (beta == 1 && c.literal->shape == Shape{columns}) {
    b = builder.parameter(c, Role::kBias, {{columns}, {0}, {columns}}, "bias");
  } else {
    b = builder.new_parameter(builder.node_name() + ".bias", Role::kBias, {columns}, *bias);
  }
  builder.graph.node(producer).inputs.push_back(b);
  return y;
}

void scale_weights(Builder& builder, ValueId y, float alpha) {
  const ValueId weight = builder.producer(y, kLinear)->input(1);
  for (float& v : builder.numbers_of(weight)) v *= alpha;
}

void gemm(Builder& builder, const OnnxNode& node) {
  const float alpha = node.number("alpha", 1), beta = node.number("beta", 1);
  const bool left = node.flag("transA"), right = node.flag("transB");
  node.ignore("broadcast");  // opset 6
  Operand a = builder.input(node, 0);
  const Operand& b = builder.input(node, 1);
  require(builder.shape_of(a).size() == 2 && builder.shape_of(b).size() == 2,
          "A and B must be matrices");
  if (left) {
    a = builder.plain(a);
    for (int64_t& dim : a.order) dim = 1 - dim;
  }
  ValueId y{};
  if (b.literal != nullptr) {
    y = linear(builder, a, b, right);
    if (alpha != 1 && builder.is_shared(builder.producer(y, kLinear)->input(1))) {
      y = scaled(builder, y, alpha);
    } else if (alpha != 1) {
      scale_weights(builder, y, alpha);
    }
  } else {
    const Factor x = factor(builder, a);
    const ValueId matrix = builder.logical(b);
    y = builder.emit(kMatMul, {x.value, matrix},
                     {{"transpose_a", int64_t{x.transposed}}, {"transpose_b", int64_t{right}}});
    y = scaled(builder, y, alpha);
  }
  if (node.has_input(2) && beta != 0) y = plus_c(builder, node, y, beta);
  builder.result(node, y);
}

}  // namespace

void add_matrix_rules(RuleTable& rules) {
  rules["MatMul"] = mat_mul;
  rules["Gemm"] = gemm;
}

}  // namespace tinytl::internal

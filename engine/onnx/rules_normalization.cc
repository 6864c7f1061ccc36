// Normalisations, softmax and reductions.

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/onnx/rules.h"
#include "engine/onnx/standardize.h"
#include "engine/onnx/window.h"

namespace tinytl::internal {
namespace {

std::vector<int64_t> stored_axes(const Order& order, const std::vector<int64_t>& axes) {
  std::vector<int64_t> result;
  for (const int64_t axis : axes) result.push_back(stored_position(order, axis));
  std::sort(result.begin(), result.end());
  return result;
}

void reduce(Builder& builder, const OnnxNode& node) {
  const Operand x = builder.plain(builder.input(node, 0));
  const size_t rank = x.order.size();
  auto axes = list_argument(node, builder.literals(node), "axes", 1).value_or(Shape{});
  const bool keep = node.integer("keepdims", 1) != 0;
  if (axes.empty()) {
    if (node.flag("noop_with_empty_axes")) return define_alias(builder, node, x);
    axes = identity_order(rank);
  }
  axes = normal_axes(axes, rank);
  if (axes.empty()) return define_alias(builder, node, x);
  const ValueId y =
      builder.emit(node.op() == "ReduceMean" ? kReduceMean : kReduceSum, {x.value},
                   {{"axes", stored_axes(x.order, axes)}, {"keepdims", int64_t{keep}}});
  builder.result(node, y, keep ? x.order : without(x.order, axes));
}

void softmax(Builder& builder, const OnnxNode& node) {
  const OpDef& op = node.op() == "Softmax" ? kSoftmax : kLogSoftmax;
  const Operand x = builder.plain(builder.input(node, 0));
  const Shape shape = builder.shape_of(x);
  const bool flattens = node.opset() < 13;
  const int64_t axis = normal_axis(node.integer("axis", flattens ? 1 : -1), shape.size());
  const auto product = [&](auto from, auto to) {
    return std::accumulate(from, to, int64_t{1}, std::multiplies<>());
  };
  const int64_t inner = product(shape.begin() + axis + 1, shape.end());
  if (!flattens || inner == 1) {
    const ValueId y = builder.emit(op, {x.value}, {{"axis", stored_position(x.order, axis)}});
    return builder.result(node, y, x.order);
  }
  // Before opset 13 the dimensions from `axis` on were one.
  const int64_t outer = product(shape.begin(), shape.begin() + axis);
  const ValueId rows = builder.view(builder.logical(x), {outer, inner * shape[size_t(axis)]});
  const ValueId y = builder.emit(op, {rows}, {{"axis", int64_t{1}}});
  builder.result(node, builder.view(y, shape));
}

// A vector per channel, in the shape that broadcasts over a tensor stored in `order`.
ValueId channel_parameter(Builder& builder, const std::string& name, Role role, const Order& order,
                          const std::vector<float>& values) {
  const int64_t position = order.size() > 1 ? stored_position(order, 1) : 0;
  Shape shape(order.size() - static_cast<size_t>(position), 1);
  shape[0] = static_cast<int64_t>(values.size());
  return builder.new_parameter(name, role, shape, values);
}

// [N,C,...] of the file as a value whose channels are last: [N,C], or [N,H,W,C] where D dimensions
// follow the channels; those behind the first two are one.
ValueId channels_last_value(Builder& builder, const Operand& x, const Shape& shape) {
  if (shape.size() == 2) return builder.logical(x);
  if (shape.size() <= 4) return spatial_value(builder, x);
  const ValueId value = builder.stored(x, channels_last(shape.size()));
  const int64_t width = checked_elements(Shape(shape.begin() + 3, shape.end()));
  return builder.view(value, {shape[0], shape[2], width, shape[1]});
}

void define_channels_last(Builder& builder, const OnnxNode& node, ValueId y, const Shape& shape) {
  if (shape.size() == 2) return builder.result(node, y);
  const Order order = channels_last(shape.size());
  builder.result(node, builder.view(y, permuted(shape, order)), order);
}

// y = GroupNorm(x) with the scale and shift that inputs 1 and 2 of the node hold by channel, or,
// where `is_by_group`, by group.
void emit_group_norm(Builder& builder, const OnnxNode& node, int64_t groups, float epsilon,
                     bool is_by_group = false) {
  const Operand x = builder.plain(builder.input(node, 0));
  const Shape shape = builder.shape_of(x);
  require(shape.size() >= 2, "input has shape " + to_string(shape));
  require(groups > 0 && shape[1] % groups == 0,
          std::to_string(shape[1]) + " channels do not make " + std::to_string(groups) + " groups");
  const Shape by_channel{shape[1]};
  const auto vector = [&](size_t i, Role role, const char* suffix) {
    const LiteralPtr literal = builder.constant_input(node, i, "scale and shift");
    const bool by_group = is_by_group && literal->shape == Shape{groups};
    require(by_group || literal->shape == by_channel, "one number a channel is needed");
    const Operand& operand = builder.input(node, i);
    if (!by_group || groups == shape[1]) {
      return builder.parameter(operand, role, {by_channel, {0}, by_channel}, suffix);
    }
    std::vector<float> wide;
    for (const float v : floats_of(*literal)) wide.insert(wide.end(), size_t(shape[1] / groups), v);
    const std::string name =
        operand.parameter.empty() ? node.name() + "." + suffix : operand.parameter;
    return builder.new_parameter(name, role, by_channel, wide);
  };
  const ValueId scale = vector(1, Role::kWeight, "weight");
  const ValueId shift = vector(2, Role::kBias, "bias");
  const ValueId value = channels_last_value(builder, x, shape);
  const ValueId y =
      builder.emit(kGroupNorm, {value, scale, shift}, {{"groups", groups}, {"epsilon", epsilon}});
  define_channels_last(builder, node, y, shape);
}

// The replacement of the TinyTL paper's code.
void group_norm_for_batch_norm(Builder& builder, const OnnxNode& node) {
  constexpr float kEpsilon = 1e-3f;
  const Operand x = builder.plain(builder.input(node, 0));
  const Shape shape = builder.shape_of(x);
  require(shape.size() >= 2, "input has shape " + to_string(shape));
  int64_t in_group = 8;
  while (shape[1] % in_group != 0) --in_group;
  standardize_layer(builder, x.value);
  emit_group_norm(builder, node, shape[1] / in_group, kEpsilon);
  ++builder.norms_made;
}

// With a value of its own for each statistic, even where nodes of the file share one: each node
// moves its own.
void batch_norm_with_statistics(Builder& builder, const OnnxNode& node) {
  const Operand x = builder.plain(builder.input(node, 0));
  const Shape shape = builder.shape_of(x);
  require(shape.size() >= 2, "input has shape " + to_string(shape));
  const Shape by_channel{shape[1]};
  const auto literal = [&](size_t i) {
    const LiteralPtr found = builder.constant_input(node, i, "scale, shift, mean and variance");
    require(found->shape == by_channel, "one number a channel is needed");
    return found;
  };
  const auto parameter = [&](size_t i, Role role, const char* suffix) {
    literal(i);
    return builder.parameter(builder.input(node, i), role, {by_channel, {0}, by_channel}, suffix);
  };
  const auto statistic = [&](size_t i, const char* suffix) {
    const std::string& initializer = builder.input(node, i).parameter;
    return builder.new_parameter(initializer.empty() ? node.name() + suffix : initializer,
                                 Role::kStatistic, by_channel, floats_of(*literal(i)));
  };
  const ValueId scale = parameter(1, Role::kWeight, "weight");
  const ValueId shift = parameter(2, Role::kBias, "bias");
  const ValueId mean = statistic(3, ".mean"), variance = statistic(4, ".variance");
  const ValueId y = builder.emit(
      kBatchNormInference, {channels_last_value(builder, x, shape), scale, shift, mean, variance},
      {{"epsilon", node.number("epsilon", 1e-5f)}});
  define_channels_last(builder, node, y, shape);
  ++builder.norms_made;
}

void group_normalization(Builder& builder, const OnnxNode& node) {
  require(node.integer("stash_type", 1) == 1, "stash_type");
  require(node.has("num_groups"), "num_groups is needed");
  emit_group_norm(builder, node, node.integer("num_groups", 1), node.number("epsilon", 1e-5f),
                  /*is_by_group=*/node.opset() < 21);
}

// Group norm of one channel a group.
void instance_normalization(Builder& builder, const OnnxNode& node) {
  const Shape shape = builder.shape_of(builder.plain(builder.input(node, 0)));
  require(shape.size() >= 3, "input has shape " + to_string(shape));
  emit_group_norm(builder, node, shape[1], node.number("epsilon", 1e-5f));
}

void batch_normalization(Builder& builder, const OnnxNode& node) {
  require(!node.flag("training_mode") && node.outputs() == 1, "training mode");
  require(node.integer("spatial", 1) == 1, "spatial = 0");
  require(node.integer("is_test", 1) != 0 && (node.opset() > 6 || node.has("is_test")),
          "training mode");
  node.ignore("momentum");
  if (builder.norms == Norms::kBatch) return batch_norm_with_statistics(builder, node);
  if (builder.norms == Norms::kGroup) {
    node.ignore("epsilon");
    return group_norm_for_batch_norm(builder, node);
  }
  const Operand x = builder.plain(builder.input(node, 0));
  const Shape shape = builder.shape_of(x);
  require(shape.size() >= 2, "input has shape " + to_string(shape));
  std::vector<std::vector<float>> numbers;
  for (size_t i = 1; i <= 4; ++i) {
    numbers.push_back(
        floats_of(*builder.constant_input(node, i, "scale, shift, mean and variance")));
    require(static_cast<int64_t>(numbers.back().size()) == shape[1],
            "one number a channel is needed");
  }
  const float epsilon = node.number("epsilon", 1e-5f);
  Affine affine{numbers[0], numbers[1], builder.input(node, 2).parameter};
  for (size_t c = 0; c < affine.scale.size(); ++c) {
    const double scale = numbers[0][c] / std::sqrt(static_cast<double>(numbers[3][c]) + epsilon);
    affine.scale[c] = static_cast<float>(scale);
    affine.shift[c] = static_cast<float>(numbers[1][c] - numbers[2][c] * scale);
  }
  if (builder.is_only_reader(node, 0) && fold_affine(builder, x, 1, affine)) {
    return define_alias(builder, node, x);
  }
  const auto name = [&](size_t i, const char* suffix) {
    const std::string& initializer = builder.input(node, i).parameter;
    return initializer.empty() ? node.name() + suffix : initializer;
  };
  const ValueId scale =
      channel_parameter(builder, name(1, ".weight"), Role::kWeight, x.order, affine.scale);
  const ValueId shift =
      channel_parameter(builder, name(2, ".bias"), Role::kBias, x.order, affine.shift);
  const ValueId scaled = builder.emit(kMul, {x.value, scale});
  builder.result(node, builder.emit(kAdd, {scaled, shift}), x.order);
}

// Mean and 1 / standard deviation of each row, for the rare network that reads them.
void layer_statistics(Builder& builder, const OnnxNode& node, ValueId rows, const Shape& shape,
                      float epsilon) {
  const auto wanted = [&](size_t i) { return !node.output(i).empty(); };
  if (!wanted(1) && !wanted(2)) return;
  const Attributes last{{"axes", std::vector<int64_t>{1}}, {"keepdims", int64_t{1}}};
  const auto define = [&](size_t i, ValueId value) {
    Operand operand;
    operand.value = builder.view(value, shape);
    operand.order = identity_order(shape.size());
    builder.define(node.output(i), std::move(operand));
  };
  const ValueId mean = builder.emit(kReduceMean, {rows}, last);
  if (wanted(1)) define(1, mean);
  if (!wanted(2)) return;
  const ValueId centred = builder.emit(kSub, {rows, mean});
  const ValueId variance =
      builder.emit(kReduceMean, {builder.emit(kMul, {centred, centred})}, last);
  const ValueId shift = builder.new_parameter(node.name() + ".epsilon", Role::kConstant, {1},
                                              std::vector<float>{epsilon});
  const ValueId deviation = builder.emit(kSqrt, {builder.emit(kAdd, {variance, shift})});
  define(2, builder.emit(kReciprocal, {deviation}));
}

void layer_normalization(Builder& builder, const OnnxNode& node) {
  require(node.integer("stash_type", 1) == 1, "stash_type");
  const Operand& x = builder.input(node, 0);
  const Shape shape = builder.shape_of(x);
  const int64_t axis = normal_axis(node.integer("axis", -1), shape.size());
  const float epsilon = node.number("epsilon", 1e-5f);
  const Shape normalized(shape.begin() + axis, shape.end());
  const Shape row{checked_elements(normalized)};
  require(row[0] > 0, "input is empty");
  const auto vector = [&](size_t i, Role role, const char* suffix) {
    require(builder.constant_input(node, i, "scale and shift")->shape == normalized,
            "scale and shift must have the shape " + to_string(normalized));
    return builder.parameter(builder.input(node, i), role, {row, {0}, row}, suffix);
  };
  const ValueId scale = vector(1, Role::kWeight, "weight");
  const ValueId shift = node.has_input(2)
                            ? vector(2, Role::kBias, "bias")
                            : builder.new_parameter(node.name() + ".bias", Role::kBias, row,
                                                    std::vector<float>(size_t(row[0]), 0));
  const ValueId rows = builder.view(builder.logical(x), {checked_elements(shape) / row[0], row[0]});
  const bool is_last = axis + 1 == static_cast<int64_t>(shape.size());
  const ValueId y = builder.emit(kLayerNorm, {is_last ? builder.logical(x) : rows, scale, shift},
                                 {{"epsilon", epsilon}});
  Shape statistics = shape;
  std::fill(statistics.begin() + axis, statistics.end(), 1);
  layer_statistics(builder, node, rows, statistics, epsilon);
  builder.result(node, builder.view(y, shape));
}

}  // namespace

void add_normalization_rules(RuleTable& rules) {
  rules["ReduceMean"] = reduce;
  rules["ReduceSum"] = reduce;
  rules["Softmax"] = softmax;
  rules["LogSoftmax"] = softmax;
  rules["BatchNormalization"] = batch_normalization;
  rules["LayerNormalization"] = layer_normalization;
  rules["GroupNormalization"] = group_normalization;
  rules["InstanceNormalization"] = instance_normalization;
}

}  // namespace tinytl::internal

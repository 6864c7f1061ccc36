// Operators that move, cut or join tensors, and those that vanish.

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cmath>

#include "engine/onnx/rules.h"

namespace tinytl::internal {
namespace {

// A shape written down for the batch in the file, for the batch we import. Exporters freeze shapes
// such as [1, 1280], or [batch * heads, ...] in attention.
Shape for_batch(const Batch& batch, const Shape& in, Shape target) {
  if (batch.in_file == batch.now || target.empty() || target[0] <= 0 || in.empty()) return target;
  if (target[0] * batch.now == in[0] * batch.in_file) {
    target[0] = in[0];
    return target;
  }
  int64_t product = 1;
  for (const int64_t dim : target) product *= dim;
  const int64_t elements = checked_elements(in);
  const bool scales = product > 0 && product * batch.now == elements * batch.in_file;
  if (scales && target[0] * batch.now % batch.in_file == 0) {
    target[0] = target[0] * batch.now / batch.in_file;
  }
  return target;
}

void reshape(Builder& builder, const OnnxNode& node) {
  const Operand& x = builder.input(node, 0);
  const Shape in = builder.shape_of(x);
  Shape out;
  if (node.op() == "Reshape") {
    const auto target = list_argument(node, builder.literals(node), "shape", 1);
    require(target.has_value(), "needs a shape");
    checked_elements({static_cast<int64_t>(target->size())});
    for (const int64_t dim : *target) require(dim < (int64_t{1} << 31), "shape is out of range");
    out = reshape_target(node, in, for_batch(builder.batch, in, *target));
  } else {
    out = reshaped_shape(node, in, builder.literals(node));
  }
  define_alias(builder, node, builder.reshaped(x, out));
}

void transpose(Builder& builder, const OnnxNode& node) {
  Operand x = builder.plain(builder.input(node, 0));
  Order reversed = identity_order(x.order.size());
  std::reverse(reversed.begin(), reversed.end());
  const Order perm = node.integers("perm", reversed);
  require(perm.size() == x.order.size() && is_permutation(perm), "perm is not a permutation");
  for (int64_t& dim : x.order) dim = stored_position(perm, dim);
  define_alias(builder, node, x);
}

void identity(Builder& builder, const OnnxNode& node) {
  define_alias(builder, node, builder.input(node, 0));
}

void dropout(Builder& builder, const OnnxNode& node) {
  for (const char* unused : {"ratio", "seed", "is_test"}) node.ignore(unused);
  require(node.outputs() < 2 || node.output(1).empty(), "output of the mask");
  if (node.has_input(2)) {
    const LiteralPtr training = builder.constant_input(node, 2, "training_mode");
    require(training->elements() == 1 && single_integer(*training) == 0, "training mode");
  }
  identity(builder, node);
}

void cast(Builder& builder, const OnnxNode& node) {
  const int64_t to = node.integer("to", 0);
  require(to == onnx::TensorProto::FLOAT || to == onnx::TensorProto::FLOAT16 ||
              to == onnx::TensorProto::DOUBLE,
          "cast to something other than float");
  identity(builder, node);
}

// Scale and zero point of an activation, as those of signed 8 bits; empty where it has not 8 bits
// and one of each.
struct ActivationLevels {
  float scale;
  int64_t zero;
};
std::optional<ActivationLevels> activation_levels(const Builder& builder, const OnnxNode& node) {
  const LiteralPtr scale = builder.constant_input(node, 1, "the scale");
  if (scale->elements() != 1) return std::nullopt;
  const float number = floats_of(*scale)[0];
  if (!(number > 0) || !std::isfinite(number)) return std::nullopt;
  if (!node.has_input(2)) return ActivationLevels{number, -128};  // ONNX: unsigned, 0
  const LiteralPtr zero = builder.constant_input(node, 2, "the zero point");
  const bool is_unsigned = zero->type == ElementType::kU8;
  if (zero->elements() != 1 || (!is_unsigned && zero->type != ElementType::kI8)) {
    return std::nullopt;
  }
  return ActivationLevels{number, single_integer(*zero) - (is_unsigned ? 128 : 0)};
}

// On an activation, quantizing and dequantizing again is the identity of the float network.
void quantize(Builder& builder, const OnnxNode& node) {
  for (const char* unused : {"axis", "saturate", "block_size", "output_dtype"}) node.ignore(unused);
  Operand x = builder.input(node, 0);
  x.quantized = true;
  if (builder.precision == Precision::kInt8) {
    if (const auto levels = activation_levels(builder, node)) {
      x = builder.plain(x);
      x.value = builder.emit(kQuantize, {x.value},
                             {{"y_scale", levels->scale}, {"y_zero", levels->zero}});
      x.exclusive = true;
    }
  }
  define_alias(builder, node, x);
}

void dequantize(Builder& builder, const OnnxNode& node) {
  for (const char* unused : {"axis", "block_size"}) node.ignore(unused);
  const Operand* x = builder.find(node.input(0));
  require(x != nullptr && x->quantized, "its input is not from a QuantizeLinear");
  Operand plain = *x;
  plain.quantized = false;
  if (builder.type(plain.value).dtype == DType::kI8) {
    const auto levels = activation_levels(builder, node);
    require(levels.has_value(), "its scale and zero point are not those of 8 bits");
    plain.value = builder.emit(kDequantize, {plain.value},
                               {{"x_scale", levels->scale}, {"x_zero", levels->zero}});
    plain.exclusive = true;
  }
  define_alias(builder, node, plain);
}

void concat(Builder& builder, const OnnxNode& node) {
  require(node.inputs() >= 1, "needs an input");
  const size_t rank = builder.shape_of(builder.input(node, 0)).size();
  const int64_t axis = normal_axis(node.integer("axis", 1), rank);
  Order order = identity_order(rank);
  int64_t rows = 1;
  for (size_t i = node.inputs(); i-- > 0;) {
    const Operand& x = builder.input(node, i);
    require(builder.shape_of(x).size() == rank, "inputs differ in rank");
    if (x.literal != nullptr || x.flattened) continue;
    if (!is_identity(x.order) || is_identity(order)) order = x.order;
    rows = std::max(rows, builder.shape_of(x)[0]);
  }
  std::vector<ValueId> parts;
  for (size_t i = 0; i < node.inputs(); ++i) {
    const Operand& x = builder.input(node, i);
    ValueId part = builder.stored(x, order);
    // A constant row (a class token) stands once for every sample of the batch.
    Shape shape = builder.type(part).shape;
    if (x.literal != nullptr && axis != 0 && order[0] == 0 && shape[0] == 1 && rows > 1) {
      shape[0] = rows;
      part = builder.emit(kBroadcastTo, {part}, {{"shape", shape}});
    }
    parts.push_back(part);
  }
  if (parts.size() == 1) return builder.result(node, parts[0], order);
  const ValueId y =
      builder.emit(kConcat, std::move(parts), {{"axis", stored_position(order, axis)}});
  builder.result(node, y, order);
}

// The part of x that `range` (in the file's order) selects.
ValueId sliced(Builder& builder, const Operand& x, const SliceRange& range) {
  if (range.sizes == builder.shape_of(x) && range.steps == Shape(x.order.size(), 1)) return x.value;
  for (size_t d = 0; d < x.order.size(); ++d) {
    require(range.sizes[d] > 0, "the result is empty");
    require(range.steps[d] > 0, "negative steps");
  }
  return builder.emit(kSlice, {x.value},
                      {{"starts", permuted(range.starts, x.order)},
                       {"sizes", permuted(range.sizes, x.order)},
                       {"steps", permuted(range.steps, x.order)}});
}

void slice(Builder& builder, const OnnxNode& node) {
  Operand x = builder.plain(builder.input(node, 0));
  const SliceRange range = slice_range(node, builder.shape_of(x), builder.literals(node));
  x.value = sliced(builder, x, range);
  define_alias(builder, node, x);
}

void split(Builder& builder, const OnnxNode& node) {
  const Operand x = builder.plain(builder.input(node, 0));
  const Shape shape = builder.shape_of(x);
  const auto axis = static_cast<size_t>(normal_axis(node.integer("axis", 0), shape.size()));
  const auto sizes = split_sizes(node, shape[axis], builder.literals(node));
  SliceRange range{Shape(shape.size(), 0), shape, Shape(shape.size(), 1)};
  for (size_t i = 0; i < sizes.size(); ++i) {
    Operand part = x;
    range.sizes[axis] = sizes[i];
    part.value = sliced(builder, x, range);
    part.exclusive = false;
    if (!node.output(i).empty()) builder.define(node.output(i), part);
    range.starts[axis] += sizes[i];
  }
}

void pad(Builder& builder, const OnnxNode& node) {
  const std::string mode = node.text("mode", "constant");
  require(mode == "constant", "mode \"" + mode + "\"");
  Operand x = builder.plain(builder.input(node, 0));
  const size_t rank = x.order.size();
  const Literals literals = builder.literals(node);
  const auto pads = list_argument(node, literals, "pads", 1);
  const float value = number_argument(node, literals, "value", 2).value_or(0);
  const auto axes = list_argument(node, literals, "axes", 3).value_or(identity_order(rank));
  require(pads && pads->size() == 2 * axes.size(), "pads has the wrong length");
  Shape before(rank, 0), after(rank, 0);
  for (size_t i = 0; i < axes.size(); ++i) {
    const auto d = static_cast<size_t>(normal_axis(axes[i], rank));
    before[d] = (*pads)[i];
    after[d] = (*pads)[i + axes.size()];
    const int64_t limit = int64_t{1} << 20;
    require(before[d] >= 0 && after[d] >= 0 && before[d] < limit && after[d] < limit,
            "pads " + to_string(*pads) + " are outside the supported range");
  }
  if (before != Shape(rank, 0) || after != Shape(rank, 0)) {
    x.value = builder.emit(kPad, {x.value},
                           {{"before", permuted(before, x.order)},
                            {"after", permuted(after, x.order)},
                            {"value", value}});
  }
  define_alias(builder, node, x);
}

void gather(Builder& builder, const OnnxNode& node) {
  Operand x = builder.plain(builder.input(node, 0));
  const LiteralPtr literal = builder.constant_input(node, 1, "indices");
  const Shape shape = builder.shape_of(x);
  const auto axis = static_cast<size_t>(normal_axis(node.integer("axis", 0), shape.size()));
  auto indices = integers_of(*literal);
  for (int64_t& i : indices) {
    if (i < 0) i += shape[axis];
    require(i >= 0 && i < shape[axis], "index is outside the tensor");
  }
  require(!indices.empty(), "the result is empty");
  x.value = builder.emit(
      kGather, {x.value},
      {{"axis", stored_position(x.order, static_cast<int64_t>(axis))}, {"indices", indices}});
  Shape out = shape;
  out.erase(out.begin() + static_cast<long>(axis));
  out.insert(out.begin() + static_cast<long>(axis), literal->shape.begin(), literal->shape.end());
  define_alias(builder, node, builder.reshaped(x, out));
}

void expand(Builder& builder, const OnnxNode& node) {
  const Operand& input = builder.input(node, 0);
  const Shape in = builder.shape_of(input);
  auto target = list_argument(node, builder.literals(node), "shape", 1);
  require(target.has_value(), "needs a shape");
  checked_elements(*target);
  if (target->size() == in.size()) *target = for_batch(builder.batch, in, *target);
  const Shape out = broadcast_of(in, *target);
  Shape wide(out.size() - in.size(), 1);
  wide.insert(wide.end(), in.begin(), in.end());
  Operand x = builder.reshaped(input, wide);
  x = builder.plain(x);
  if (wide != out) {
    x.value = builder.emit(kBroadcastTo, {x.value}, {{"shape", permuted(out, x.order)}});
  }
  define_alias(builder, node, x);
}

}  // namespace

void define_alias(Builder& builder, const OnnxNode& node, Operand operand, size_t i) {
  operand.exclusive = builder.is_only_reader(node, i);
  operand.parameter.clear();
  builder.define(node.output(0), std::move(operand));
}

void add_shape_rules(RuleTable& rules) {
  for (const char* op : {"Reshape", "Flatten", "Squeeze", "Unsqueeze"}) rules[op] = reshape;
  rules["Transpose"] = transpose;
  rules["Identity"] = identity;
  rules["Dropout"] = dropout;
  rules["Cast"] = cast;
  rules["QuantizeLinear"] = quantize;
  rules["DequantizeLinear"] = dequantize;
  rules["Concat"] = concat;
  rules["Slice"] = slice;
  rules["Split"] = split;
  rules["Pad"] = pad;
  rules["Gather"] = gather;
  rules["Expand"] = expand;
}

}  // namespace tinytl::internal

// Operators that move, cut or join, on constants.

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/onnx/fold.h"
#include "engine/onnx/layout.h"

namespace tinytl::internal {
namespace {

std::shared_ptr<Literal> empty_like(const Literal& from, Shape shape) {
  auto out = std::make_shared<Literal>();
  out->type = from.type;
  out->shape = std::move(shape);
  return out;
}

size_t element_bytes(const Literal& literal) {
  return literal.bytes.empty() ? 1 : literal.bytes.size() / size_t(literal.elements());
}

Shape row_strides(const Shape& shape) {
  Shape strides(shape.size());
  int64_t running = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    strides[d] = running;
    running *= shape[d];
  }
  return strides;
}

LiteralPtr reshaped(const OnnxNode& node, const Literals& inputs) {
  const Literal& x = first_of(inputs);
  auto out = empty_like(x, reshaped_shape(node, x.shape, inputs));
  out->bytes = x.bytes;
  return out;
}

LiteralPtr transposed(const OnnxNode& node, const Literals& inputs) {
  const Literal& x = first_of(inputs);
  Order reversed = identity_order(x.shape.size());
  std::reverse(reversed.begin(), reversed.end());
  const Order order = node.integers("perm", reversed);
  require(order.size() == x.shape.size() && is_permutation(order), "perm is not a permutation");
  return strided(x, permuted(x.shape, order), 0, permuted(row_strides(x.shape), order));
}

LiteralPtr sliced(const OnnxNode& node, const Literals& inputs) {
  const Literal& x = first_of(inputs);
  const SliceRange range = slice_range(node, x.shape, inputs);
  Shape strides = row_strides(x.shape);
  int64_t offset = 0;
  for (size_t d = 0; d < strides.size(); ++d) {
    offset += range.starts[d] * strides[d];
    strides[d] *= range.steps[d];
  }
  return strided(x, range.sizes, offset, strides);
}

LiteralPtr expanded(const OnnxNode& node, const Literals& inputs) {
  const Literal& x = first_of(inputs);
  const auto target = list_argument(node, inputs, "shape", 1);
  require(target.has_value(), "needs a shape");
  checked_elements(*target);
  const Shape out = broadcast_of(x.shape, *target);
  const Shape from = row_strides(x.shape);
  Shape strides(out.size(), 0);
  for (size_t d = 0; d < from.size(); ++d) {
    if (x.shape[d] != 1) strides[out.size() - from.size() + d] = from[d];
  }
  return strided(x, out, 0, strides);
}

LiteralPtr gathered(const OnnxNode& node, const Literals& inputs) {
  const Literal& x = first_of(inputs);
  require(inputs.size() > 1 && inputs[1] != nullptr && !x.shape.empty(), "needs indices");
  const auto axis = static_cast<size_t>(normal_axis(node.integer("axis", 0), x.shape.size()));
  const Shape strides = row_strides(x.shape);
  Shape shape = x.shape;
  shape.erase(shape.begin() + static_cast<long>(axis));
  shape.insert(shape.begin() + static_cast<long>(axis), inputs[1]->shape.begin(),
               inputs[1]->shape.end());
  checked_elements(shape);
  const size_t run = size_t(strides[axis]) * element_bytes(x);  // bytes one index selects
  const size_t block = run * size_t(x.shape[axis]);
  const auto indices = integers_of(*inputs[1]);
  auto out = empty_like(x, shape);
  for (size_t start = 0; start < x.bytes.size(); start += block) {
    for (const int64_t i : indices) {
      const int64_t at = i < 0 ? i + x.shape[axis] : i;
      require(at >= 0 && at < x.shape[axis],
              "index " + std::to_string(i) + " is outside the tensor");
      out->bytes.append(x.bytes, start + size_t(at) * run, run);
    }
  }
  return out;
}

LiteralPtr concatenated(const OnnxNode& node, const Literals& inputs) {
  const Literal& x = first_of(inputs);
  const auto axis = static_cast<size_t>(normal_axis(node.integer("axis", 0), x.shape.size()));
  bool same = true;
  for (const LiteralPtr& part : inputs) same = same && part != nullptr && part->type == x.type;
  Literals parts;
  Shape shape = x.shape;
  shape[axis] = 0;
  for (const LiteralPtr& part : inputs) {
    require(part != nullptr, "needs its inputs");
    Shape other = part->shape;
    require(other.size() == shape.size(), "inputs differ in rank");
    shape[axis] += std::exchange(other[axis], shape[axis]);
    other[axis] = shape[axis];
    require(other == shape, "inputs differ in shape");
    const ElementType common = is_integer(x.type) ? ElementType::kI64 : ElementType::kF32;
    parts.push_back(same ? part : unified(part, common));
  }
  checked_elements(shape);
  auto out = empty_like(*parts[0], shape);
  size_t blocks = 1;
  for (size_t d = 0; d < axis; ++d) blocks *= size_t(shape[d]);
  for (size_t b = 0; b < blocks; ++b) {
    for (const LiteralPtr& part : parts) {
      const size_t run = part->bytes.size() / blocks;
      out->bytes.append(part->bytes, b * run, run);
    }
  }
  return out;
}

LiteralPtr where(const OnnxNode&, const Literals& inputs) {
  require(inputs.size() == 3 && inputs[0] && inputs[1] && inputs[2], "needs three inputs");
  const bool integer = is_integer(inputs[1]->type) && is_integer(inputs[2]->type);
  const ElementType type = integer ? ElementType::kI64 : ElementType::kF32;
  const Shape shape =
      broadcast_of(broadcast_of(inputs[0]->shape, inputs[1]->shape), inputs[2]->shape);
  const auto spread = [&](const LiteralPtr& literal) {
    const LiteralPtr x = unified(literal, type);
    Shape strides(shape.size(), 0);
    const Shape own = row_strides(x->shape);
    for (size_t d = 0; d < own.size(); ++d) {
      if (x->shape[d] != 1) strides[shape.size() - own.size() + d] = own[d];
    }
    return strided(*x, shape, 0, strides);
  };
  const LiteralPtr yes = spread(inputs[1]), no = spread(inputs[2]);
  const auto truth = floats_of(*spread(inputs[0]));
  const size_t element = integer ? sizeof(int64_t) : sizeof(float);
  auto out = empty_like(*yes, shape);
  for (size_t i = 0; i < truth.size(); ++i) {
    out->bytes.append(truth[i] != 0 ? yes->bytes : no->bytes, i * element, element);
  }
  return out;
}

}  // namespace

LiteralPtr strided(const Literal& from, const Shape& shape, int64_t offset, const Shape& strides) {
  const int64_t count = checked_elements(shape);
  const size_t element = element_bytes(from);
  auto out = empty_like(from, shape);
  out->bytes.resize(static_cast<size_t>(count) * element);
  std::vector<int64_t> at(shape.size(), 0);
  int64_t source = offset;
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(out->bytes.data() + size_t(i) * element,
                from.bytes.data() + size_t(source) * element, element);
    for (size_t d = shape.size(); d-- > 0;) {
      source += strides[d];
      if (++at[d] < shape[d]) break;
      source -= strides[d] * shape[d];
      at[d] = 0;
    }
  }
  return out;
}

Literals fold_split(const OnnxNode& node, const Literals& inputs) {
  const Literal& x = first_of(inputs);
  const auto axis = static_cast<size_t>(normal_axis(node.integer("axis", 0), x.shape.size()));
  const Shape strides = row_strides(x.shape);
  Literals parts;
  int64_t start = 0;
  for (const int64_t part : split_sizes(node, x.shape[axis], inputs)) {
    Shape shape = x.shape;
    shape[axis] = part;
    parts.push_back(strided(x, shape, start * strides[axis], strides));
    start += part;
  }
  return parts;
}

void add_shape_folds(FoldTable& table) {
  for (const char* op : {"Reshape", "Flatten", "Squeeze", "Unsqueeze"}) table[op] = reshaped;
  table["Transpose"] = transposed;
  table["Slice"] = sliced;
  table["Expand"] = expanded;
  table["Gather"] = gathered;
  table["Concat"] = concatenated;
  table["Where"] = where;
}

}  // namespace tinytl::internal

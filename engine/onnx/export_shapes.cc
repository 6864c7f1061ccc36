// Operators that move, cut or join tensors as ONNX.

#include <algorithm>

#include "engine/onnx/export_rules.h"
#include "engine/ops/op_table.h"

namespace tinytl::internal {
namespace {

// `shape` as an argument of Reshape that also holds for another batch.
Shape for_any_batch(const Exporter& e, const Shape& from, Shape shape) {
  if (!e.has_open_batch() || shape.empty() || from.empty()) return shape;
  if (shape[0] == from[0]) {
    shape[0] = 0;
  } else {
    shape[0] = -1;
  }
  return shape;
}

void reshape(Exporter& e) {
  const Node& node = e.node();
  const Held x = as_held(e);
  const Shape& from = e.type(node.input(0)).shape;
  const Shape& to = e.type(node.output()).shape;
  const auto emit = [&](const std::string& tensor, const Shape& old, const Shape& shape,
                        const Order& order) {
    const std::string y = e.result(order);
    e.add("Reshape", {tensor, e.integers(y + ".shape", for_any_batch(e, old, shape))}, y);
    return y;
  };
  const auto order = reshaped_order(from, x.order, to);
  if (order) {
    emit(x.tensor, permuted(from, x.order), permuted(to, *order), *order);
    return;
  }
  if (to.size() == 2 && to[0] == from[0] && x.order[0] == 0) {
    const std::string y = emit(x.tensor, from, to, identity_order(2));
    e.hold(node.output(), {y, identity_order(2), Held::Flattened{from, x.order}});
    return;
  }
  emit(e.plain(node.input(0)), from, to, identity_order(to.size()));
}

void transpose(Exporter& e) {
  const auto perm = e.node().attributes.integers("perm");
  Held x = as_held(e);
  for (int64_t& dim : x.order) dim = stored_position({perm.begin(), perm.end()}, dim);
  e.hold(e.node().output(), x);
}

void concat(Exporter& e) {
  const Node& node = e.node();
  Order order = identity_order(e.type(node.output()).rank());
  for (const ValueId x : node.inputs) {
    if (e.is_constant(x) || e.held(x).flattened) continue;
    order = e.held(x).order;
    break;
  }
  std::vector<std::string> inputs;
  for (const ValueId x : node.inputs) inputs.push_back(e.tensor(x, order));
  const int64_t axis = stored_position(order, node.attributes.integer("axis"));
  set_attribute(e.add("Concat", inputs, e.result(order)), "axis", axis);
}

void slice(Exporter& e) {
  const Node& node = e.node();
  const Held x = as_held(e);
  const Shape& from = e.type(node.input(0)).shape;
  const auto starts = node.attributes.integers("starts"), sizes = node.attributes.integers("sizes");
  const auto steps = node.attributes.integers("steps");
  std::vector<int64_t> first, last, axes, stride;
  for (size_t i = 0; i < x.order.size(); ++i) {  // only what is cut, so that the batch stays open
    const auto d = static_cast<size_t>(x.order[i]);
    if (sizes[d] == from[d]) continue;
    axes.push_back(static_cast<int64_t>(i));
    first.push_back(starts[d]);
    last.push_back(starts[d] + (sizes[d] - 1) * steps[d] + 1);
    stride.push_back(steps[d]);
  }
  const std::string y = e.result(x.order);
  if (axes.empty()) {
    e.add("Identity", {x.tensor}, y);
    return;
  }
  const std::string a = e.integers(y + ".starts", first), b = e.integers(y + ".ends", last);
  const std::string c = e.integers(y + ".axes", axes), d = e.integers(y + ".steps", stride);
  e.add("Slice", {x.tensor, a, b, c, d}, y);
}

void pad(Exporter& e) {
  const Node& node = e.node();
  const Held x = as_held(e);
  const auto before = node.attributes.integers("before"), after = node.attributes.integers("after");
  std::vector<int64_t> pads;
  for (const int64_t d : x.order) pads.push_back(before[size_t(d)]);
  for (const int64_t d : x.order) pads.push_back(after[size_t(d)]);
  const std::string y = e.result(x.order);
  const std::string value = e.number(node.name + ".value", node.attributes.number("value"));
  e.add("Pad", {x.tensor, e.integers(y + ".pads", pads), value}, y);
}

void gather(Exporter& e) {
  const Node& node = e.node();
  const Held x = as_held(e);
  const auto indices = node.attributes.integers("indices");
  const int64_t axis = stored_position(x.order, node.attributes.integer("axis"));
  const std::string y = e.result(x.order);
  const std::string list = e.integers(y + ".indices", {indices.begin(), indices.end()});
  set_attribute(e.add("Gather", {x.tensor, list}, y), "axis", axis);
}

void broadcast_to(Exporter& e) {
  const std::string x = e.plain(e.node().input(0));
  const Shape shape = e.type(e.node().output()).shape;
  const std::string y = e.result(identity_order(shape.size()));
  e.add("Expand", {x, e.integers(y + ".shape", shape)}, y);
}

}  // namespace

void add_shape_exports(ExportTable& table) {
  table[&kReshape] = reshape;
  table[&kTranspose] = transpose;
  table[&kConcat] = concat;
  table[&kSlice] = slice;
  table[&kPad] = pad;
  table[&kGather] = gather;
  table[&kBroadcastTo] = broadcast_to;
}

}  // namespace tinytl::internal

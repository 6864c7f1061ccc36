#include "engine/onnx/exporter.h"

#include <algorithm>
#include <bit>

#include "engine/onnx/export_rules.h"
#include "engine/ops/op_table.h"
#include "engine/ops/q_layer.h"

namespace tinytl::internal {
namespace {

constexpr int64_t kOpset = 13, kIrVersion = 7;

Order channels_first(size_t rank) {  // of a value with its channels last
  Order order = identity_order(rank);
  if (rank > 2) std::rotate(order.begin() + 1, order.end() - 1, order.end());
  return order;
}

onnx::AttributeProto& attribute(onnx::NodeProto& node, const char* name,
                                onnx::AttributeProto::AttributeType type) {
  onnx::AttributeProto& a = *node.add_attribute();
  a.set_name(name);
  a.set_type(type);
  return a;
}

// The dimension of the tensor that is the last axis of the value; none where that is not one.
std::optional<size_t> scale_axis(const Initializer& i) {
  const auto last = static_cast<int64_t>(i.from.size()) - 1;
  if (i.order.back() == last && i.shape.back() == i.from.back()) return i.shape.size() - 1;
  if (i.shape != permuted(i.from, i.order)) return std::nullopt;
  return static_cast<size_t>(std::ranges::find(i.order, last) - i.order.begin());
}

std::span<const float> scales_of(const Tensor& q8) {
  return {reinterpret_cast<const float*>(q8.bytes().data() + q8.type().scale_offset()),
          static_cast<size_t>(q8.type().shape.back())};
}

const ExportTable& all_exports() {
  static const ExportTable exports = [] {
    ExportTable table;
    add_layer_exports(table);
    add_map_exports(table);
    add_shape_exports(table);
    add_integer_exports(table);
    return table;
  }();
  return exports;
}

}  // namespace

Held as_held(Exporter& exporter) {
  const ValueId x = exporter.node().input(0);
  if (exporter.is_constant(x) || exporter.held(x).flattened) {
    return {exporter.plain(x), identity_order(exporter.type(x).rank()), std::nullopt};
  }
  return exporter.held(x);
}

void set_attribute(onnx::NodeProto& node, const char* name, int64_t value) {
  attribute(node, name, onnx::AttributeProto::INT).set_i(value);
}

void set_attribute(onnx::NodeProto& node, const char* name, float value) {
  attribute(node, name, onnx::AttributeProto::FLOAT).set_f(value);
}

void set_attribute(onnx::NodeProto& node, const char* name, const char* text) {
  attribute(node, name, onnx::AttributeProto::STRING).set_s(text);
}

void set_attribute(onnx::NodeProto& node, const char* name, std::span<const int64_t> values) {
  onnx::AttributeProto& a = attribute(node, name, onnx::AttributeProto::INTS);
  for (const int64_t v : values) a.add_ints(v);
}

Exporter::Exporter(const Graph& graph) : graph_(graph) {
  model.set_ir_version(kIrVersion);
  model.set_producer_name("tinytl");
  model.add_opset_import()->set_version(kOpset);
  model.mutable_graph()->set_name("network");
  // Names that must stay as they are, before others take them.
  for (const ValueId id : graph.inputs) names_.insert(graph.value(id).name);
  for (const Value& value : graph.values()) {
    if (is_persistent(value.role)) names_.insert(value.name);
  }
}

void Exporter::export_all() {
  batch_ = graph_.inputs.empty() || type(graph_.inputs[0]).rank() == 0
               ? 0
               : type(graph_.inputs[0]).dim(0);
  open_batch_ = batch_can_be_open();
  add_inputs();
  for (const Node& node : graph_.nodes()) {
    const auto rule = all_exports().find(node.op);
    if (rule == all_exports().end()) {
      throw InputError("node \"" + node.name + "\" (" + std::string(node.op->name) +
                       ") has no ONNX form");
    }
    node_ = &node;
    rule->second(*this);
  }
  add_outputs();
}

void Exporter::add_inputs() {
  for (const ValueId id : graph_.inputs) {
    const Value& value = graph_.value(id);
    const size_t rank = value.type.rank();
    Order order = identity_order(rank);
    if (rank == 4 && (value.channels_last || feeds_window(id))) order = channels_first(rank);
    describe(*model.mutable_graph()->add_input(), value.name, permuted(value.type.shape, order));
    hold(id,
         {value.type.dtype == DType::kI8 ? rounded_input(id) : value.name, order, std::nullopt});
  }
}

// The levels of an i8 input: the file has it as the real numbers.
std::string Exporter::rounded_input(ValueId id) {
  const std::string& name = graph_.value(id).name;
  const auto scale = scale_read_of(graph_, id);
  TT_ASSERT(scale.has_value());
  std::vector<std::string> inputs{name};
  for (std::string& constant : scale_and_zero(name, scale->scale, scale->zero)) {
    inputs.push_back(std::move(constant));
  }
  std::string levels = unique(name + ".levels");
  add("QuantizeLinear", inputs, levels);
  return levels;
}

std::vector<std::string> Exporter::scale_and_zero(const std::string& name, float scale,
                                                  int64_t zero) {
  onnx::TensorProto& tensor = *model.mutable_graph()->add_initializer();
  tensor.set_name(unique(name + ".zero_point"));
  tensor.set_data_type(onnx::TensorProto::INT8);
  tensor.add_int32_data(static_cast<int32_t>(zero));
  return {number(name + ".scale", scale), tensor.name()};
}

void Exporter::add_outputs() {
  for (const ValueId id : graph_.outputs) {
    const Value& value = graph_.value(id);
    const std::string made = plain(id);
    std::string name = made;
    // An output is written by a node of the model and has a name of its own.
    const bool is_output_already =
        std::any_of(model.graph().output().begin(), model.graph().output().end(),
                    [&](const auto& output) { return output.name() == made; });
    if (value.producer == kNoNode || is_output_already) {
      name = unique(value.name + "_output");
      add("Identity", {made}, name);
    }
    describe(*model.mutable_graph()->add_output(), name, value.type.shape);
  }
}

void Exporter::describe(onnx::ValueInfoProto& info, const std::string& name,
                        const Shape& shape) const {
  info.set_name(name);
  auto& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(onnx::TensorProto::FLOAT);
  auto& dims = *tensor.mutable_shape();
  for (size_t d = 0; d < shape.size(); ++d) {
    auto& dim = *dims.add_dim();
    if (d == 0 && open_batch_ && shape[d] == batch_) {
      dim.set_dim_param("N");
    } else {
      dim.set_dim_value(shape[d]);
    }
  }
}

// Not where something fixes the number of rows, or mixes them.
bool Exporter::batch_can_be_open() const {
  for (const ValueId id : graph_.inputs) {
    if (type(id).rank() == 0 || type(id).dim(0) != batch_) return false;
  }
  const auto fixes = [&](const Node& node) { return mixes_rows(node) || has_constant_rows(node); };
  return batch_ > 0 && std::none_of(graph_.nodes().begin(), graph_.nodes().end(), fixes);
}

bool Exporter::mixes_rows(const Node& node) const {
  const Attributes& a = node.attributes;
  const Shape& x = type(node.input(0)).shape;
  if (node.op == &kBroadcastTo) return true;
  if (a.has("axis")) return a.integer("axis") == 0;
  if (node.op == &kTranspose) return a.integers("perm")[0] != 0;
  if (node.op == &kSlice) return a.integers("sizes")[0] != x[0];
  if (node.op == &kPad) return a.integers("before")[0] + a.integers("after")[0] != 0;
  if (node.op == &kReduceMean || node.op == &kReduceSum) {
    return a.integers("axes").empty() || a.integers("axes")[0] == 0;
  }
  if (node.op == &kMatMul) return x.size() == 2 && a.integer("transpose_a") != 0;
  return false;
}

// A constant with a row for each sample.
bool Exporter::has_constant_rows(const Node& node) const {
  for (const OpDef* layer :
       {&kConv2d, &kDepthwiseConv2d, &kLinear, &kQConv2d, &kQDepthwiseConv2d}) {
    if (node.op == layer) return false;
  }
  const size_t rank = type(node.output()).rank();
  for (const ValueId id : node.inputs) {
    if (!is_constant(id) || type(id).rank() != rank || rank == 0) continue;
    if (node.op == &kConcat || (batch_ > 1 && type(id).dim(0) == batch_)) return true;
  }
  return false;
}

bool Exporter::feeds_window(ValueId input) const {
  static const std::set<const OpDef*> windows{&kConv2d, &kDepthwiseConv2d, &kAveragePool, &kMaxPool,
                                              &kResize};
  static const std::set<const OpDef*> pass{&kAdd,   &kSub,       &kMul,       &kDiv,
                                           &kScale, &kClip,      &kPad,       &kSigmoid,
                                           &kTanh,  &kLeakyRelu, &kHardSwish, &kConcat};
  std::set<ValueId> reached{input};
  for (const Node& node : graph_.nodes()) {
    for (const ValueId id : node.inputs) {
      if (!reached.contains(id)) continue;
      if (windows.contains(node.op)) return true;
      const bool pools = node.op == &kReduceMean && node.attributes.integers("axes").size() == 2 &&
                         node.attributes.integers("axes")[0] == 1 &&
                         node.attributes.integers("axes")[1] == 2;
      if (pools) return true;
      if (pass.contains(node.op)) reached.insert(node.output());
    }
  }
  return false;
}

std::string Exporter::unique(std::string name) {
  while (!names_.insert(name).second) name += "_";
  return name;
}

onnx::NodeProto& Exporter::add(const std::string& op, const std::vector<std::string>& inputs,
                               const std::string& output) {
  onnx::NodeProto& proto = *model.mutable_graph()->add_node();
  proto.set_op_type(op);
  if (node_ != nullptr) proto.set_name(node_->name);
  for (const std::string& input : inputs) proto.add_input(input);
  proto.add_output(output);
  return proto;
}

std::string Exporter::step(const std::string& op, const std::vector<std::string>& inputs,
                           const std::string& suffix) {
  const std::string output = unique(graph_.value(node_->output()).name + "." + suffix);
  add(op, inputs, output);
  return output;
}

std::string Exporter::result(Order order) {
  const ValueId id = node_->output();
  const std::string name = unique(graph_.value(id).name);
  hold(id, {name, std::move(order), std::nullopt});
  return name;
}

std::string Exporter::moved(const std::string& tensor, const Shape& shape,
                            const Order& permutation) {
  if (is_identity(permutation)) return tensor;
  const std::string key = tensor + " by " + to_string(permutation);
  const auto found = made_.find(key);
  if (found != made_.end()) return found->second;
  std::string name = unique(tensor + ".moved");
  if (moves_only_ones(shape, permutation)) {
    Shape target = permuted(shape, permutation);
    if (open_batch_ && !target.empty() && permutation[0] == 0) target[0] = 0;
    add("Reshape", {tensor, integers(name + ".shape", target)}, name);
  } else {
    set_attribute(add("Transpose", {tensor}, name), "perm", permutation);
  }
  return made_[key] = name;
}

std::string Exporter::tensor(ValueId value, const Order& order) {
  if (is_constant(value)) {
    const Shape& shape = type(value).shape;
    return parameter(value, shape, order, permuted(shape, order));
  }
  const Held& h = held_.at(value);
  const Shape& shape = type(value).shape;
  if (!h.flattened) return moved(h.tensor, permuted(shape, h.order), between(h.order, order));
  // [N, ...] apart again, in the value's order, and flat again.
  const Held::Flattened& f = *h.flattened;
  Shape apart = permuted(f.shape, f.order);
  Shape flat = shape;
  if (open_batch_) apart[0] = flat[0] = 0;
  const std::string name = unique(h.tensor + ".apart");
  add("Reshape", {h.tensor, integers(name + ".shape", apart)}, name);
  const std::string ordered =
      moved(name, permuted(f.shape, f.order), between(f.order, identity_order(f.shape.size())));
  const std::string again = unique(h.tensor + ".flat");
  add("Reshape", {ordered, integers(again + ".shape", flat)}, again);
  return moved(again, shape, order);
}

std::string Exporter::plain(ValueId value) {
  return tensor(value, identity_order(type(value).rank()));
}

std::string Exporter::parameter(ValueId value, const Shape& from, const Order& order,
                                const Shape& shape) {
  const std::string key = "parameter " + std::to_string(index(value)) + to_string(from) +
                          to_string(order) + to_string(shape);
  const auto found = made_.find(key);
  if (found != made_.end()) return found->second;
  const std::string& own = graph_.value(value).name;
  // The second form of a parameter that two operators need in two arrangements has another name.
  const bool is_first = made_.emplace("first " + own, own).second;
  const std::string name = is_first ? own : unique(own);
  const Initializer initializer{name, shape, value, from, order};
  const auto axis = scale_axis(initializer);
  if (type(value).dtype == DType::kQ8 && axis.has_value()) {
    dequantize(initializer, *axis, scales_of(*graph_.value(value).data));
  } else {
    initializers.push_back(initializer);
  }
  return made_[key] = name;
}

std::string Exporter::integer_bias(ValueId bias, ValueId weight, float x_scale) {
  const Value& value = graph_.value(bias);
  const auto of_weight = scales_of(*graph_.value(weight).data);
  std::vector<float> scales(of_weight.begin(), of_weight.end());
  for (float& s : scales) s *= x_scale;
  const Initializer initializer{value.name, value.type.shape, bias, value.type.shape, {0}};
  dequantize(initializer, /*axis=*/0, scales);
  return value.name;
}

// The codes and their scales as tensors, and the node that makes weights of them.
void Exporter::dequantize(const Initializer& weights, size_t axis,
                          std::span<const float> scales_of_codes) {
  Initializer codes = weights;
  codes.name = unique(weights.name + ".codes");
  codes.is_code = true;
  onnx::TensorProto& scales = *model.mutable_graph()->add_initializer();
  scales.set_name(unique(weights.name + ".scales"));
  scales.set_data_type(onnx::TensorProto::FLOAT);
  scales.add_dims(static_cast<int64_t>(scales_of_codes.size()));
  for (const float scale : scales_of_codes) scales.add_float_data(scale);
  set_attribute(add("DequantizeLinear", {codes.name, scales.name()}, weights.name), "axis",
                static_cast<int64_t>(axis));
  initializers.push_back(std::move(codes));
}

std::string Exporter::integers(const std::string& name, const std::vector<int64_t>& values) {
  onnx::TensorProto& tensor = *model.mutable_graph()->add_initializer();
  const std::string own = unique(name);
  tensor.set_name(own);
  tensor.add_dims(static_cast<int64_t>(values.size()));
  tensor.set_data_type(onnx::TensorProto::INT64);
  for (const int64_t v : values) tensor.add_int64_data(v);
  return own;
}

std::string Exporter::number(const std::string& name, float value) {
  const std::string key = "number " + std::to_string(std::bit_cast<uint32_t>(value));
  const auto found = made_.find(key);
  if (found != made_.end()) return found->second;
  onnx::TensorProto& tensor = *model.mutable_graph()->add_initializer();
  const std::string own = unique(name);
  tensor.set_name(own);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.add_float_data(value);
  return made_[key] = own;
}

std::string Exporter::numbers(const std::string& name, const std::vector<float>& values) {
  const std::string key = "numbers " + name;
  const auto found = made_.find(key);
  if (found != made_.end()) return found->second;
  onnx::TensorProto& tensor = *model.mutable_graph()->add_initializer();
  const std::string own = unique(name);
  tensor.set_name(own);
  tensor.set_data_type(onnx::TensorProto::FLOAT);
  tensor.add_dims(static_cast<int64_t>(values.size()));
  for (const float value : values) tensor.add_float_data(value);
  return made_[key] = own;
}

}  // namespace tinytl::internal

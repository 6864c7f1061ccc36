// Functions of one element, and what opset 13 has no operator for: LayerNorm, GELU, SiLU,
// HardSwish. fuse.cc recognises all of these again.

#include <cmath>
#include <limits>

#include "engine/onnx/export_rules.h"
#include "engine/ops/op_table.h"

namespace tinytl::internal {
namespace {

onnx::NodeProto& map(Exporter& e, const char* op) {
  const Held x = as_held(e);
  return e.add(op, {x.tensor}, e.result(x.order));
}

void scale(Exporter& e) {
  const Held x = as_held(e);
  const std::string factor =
      e.number(e.node().name + ".factor", e.node().attributes.number("factor"));
  e.add("Mul", {x.tensor, factor}, e.result(x.order));
}

void clip(Exporter& e) {
  const float low = e.node().attributes.number("low"), high = e.node().attributes.number("high");
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  if (low == 0 && high == kInfinity) {
    map(e, "Relu");
    return;
  }
  const Held x = as_held(e);
  std::vector<std::string> inputs{x.tensor, ""};
  if (low != -kInfinity) inputs[1] = e.number(e.node().name + ".low", low);
  if (high != kInfinity) inputs.push_back(e.number(e.node().name + ".high", high));
  e.add("Clip", inputs, e.result(x.order));
}

void pow(Exporter& e) {
  const Held x = as_held(e);
  const std::string exponent =
      e.number(e.node().name + ".exponent", e.node().attributes.number("exponent"));
  e.add("Pow", {x.tensor, exponent}, e.result(x.order));
}

void with_alpha(Exporter& e, const char* op) {
  set_attribute(map(e, op), "alpha", e.node().attributes.number("alpha"));
}

void hard_sigmoid(Exporter& e) {
  onnx::NodeProto& proto = map(e, "HardSigmoid");
  set_attribute(proto, "alpha", e.node().attributes.number("alpha"));
  set_attribute(proto, "beta", e.node().attributes.number("beta"));
}

void hard_swish(Exporter& e) {  // an operator of its own only since opset 14
  const Held x = as_held(e);
  const std::string gate = e.step("HardSigmoid", {x.tensor}, "gate");
  onnx::NodeProto& proto = *e.model.mutable_graph()->mutable_node()->rbegin();
  set_attribute(proto, "alpha", 1.0f / 6);
  set_attribute(proto, "beta", 0.5f);
  e.add("Mul", {x.tensor, gate}, e.result(x.order));
}

void silu(Exporter& e) {
  const Held x = as_held(e);
  const std::string gate = e.step("Sigmoid", {x.tensor}, "gate");
  e.add("Mul", {x.tensor, gate}, e.result(x.order));
}

void gelu(Exporter& e) {
  const Held x = as_held(e);
  const auto number = [&](const char* name, double v) {
    return e.number(std::string("gelu.") + name, static_cast<float>(v));
  };
  std::string bounded;
  if (e.node().attributes.integer("tanh") != 0) {
    const std::string square = e.step("Mul", {x.tensor, x.tensor}, "square");
    const std::string cube = e.step("Mul", {square, x.tensor}, "cube");
    const std::string small = e.step("Mul", {cube, number("cubic", 0.044715)}, "small");
    const std::string sum = e.step("Add", {x.tensor, small}, "sum");
    const std::string u = e.step("Mul", {sum, number("sqrt_2_over_pi", std::sqrt(2 / M_PI))}, "u");
    bounded = e.step("Tanh", {u}, "tanh");
  } else {
    const std::string u = e.step("Mul", {x.tensor, number("sqrt_half", std::sqrt(0.5))}, "u");
    bounded = e.step("Erf", {u}, "erf");
  }
  const std::string shifted = e.step("Add", {bounded, number("one", 1)}, "shifted");
  const std::string twice = e.step("Mul", {x.tensor, shifted}, "twice");
  e.add("Mul", {twice, number("half", 0.5)}, e.result(x.order));
}

// As PyTorch writes it: one channel a group of a tensor whose channels are the groups.
void group_norm(Exporter& e) {  // an operator of its own only since opset 18
  const Node& node = e.node();
  const Shape& shape = e.type(node.input(0)).shape;
  const int64_t channels = shape.back(), groups = node.attributes.integer("groups");
  const Order order = shape.size() == 4 ? Order{0, 3, 1, 2} : identity_order(shape.size());
  const auto by_channel = [&](size_t input) {
    Shape wide(shape.size() - 1, 1);
    wide[0] = channels;
    return e.parameter(node.input(input), {channels}, {0}, wide);
  };
  const auto of_groups = [&](const char* name, float value) {
    return e.numbers("group_norm." + std::string(name) + std::to_string(groups),
                     std::vector<float>(static_cast<size_t>(groups), value));
  };
  const std::string apart =
      e.step("Reshape",
             {e.tensor(node.input(0), order), e.integers(node.name + ".groups", {0, groups, -1})},
             "apart");
  const std::string normal = e.step(
      "InstanceNormalization", {apart, of_groups("scale", 1), of_groups("shift", 0)}, "normalized");
  set_attribute(*e.model.mutable_graph()->mutable_node()->rbegin(), "epsilon",
                node.attributes.number("epsilon"));
  std::vector<int64_t> together = permuted(shape, order);
  together[0] = 0;  // as many samples as there are
  const std::string joined =
      e.step("Reshape", {normal, e.integers(node.name + ".channels", together)}, "joined");
  const std::string scaled = e.step("Mul", {joined, by_channel(1)}, "scaled");
  e.add("Add", {scaled, by_channel(2)}, e.result(order));
}

void batch_norm(Exporter& e) {
  const Node& node = e.node();
  const Shape& shape = e.type(node.input(0)).shape;
  const Order order = shape.size() == 4 ? Order{0, 3, 1, 2} : identity_order(shape.size());
  std::vector<std::string> inputs{e.tensor(node.input(0), order)};
  for (size_t i = 1; i < node.inputs.size(); ++i) {
    inputs.push_back(e.parameter(node.input(i), {shape.back()}, {0}, {shape.back()}));
  }
  set_attribute(e.add("BatchNormalization", inputs, e.result(order)), "epsilon",
                node.attributes.number("epsilon"));
}

void layer_norm(Exporter& e) {  // an operator of its own only since opset 17
  const Node& node = e.node();
  const size_t rank = e.type(node.input(0)).rank();
  const std::string x = e.plain(node.input(0));
  const auto mean_of = [&](const std::string& tensor, const char* name) {
    const std::string mean = e.step("ReduceMean", {tensor}, name);
    set_attribute(*e.model.mutable_graph()->mutable_node()->rbegin(), "axes",
                  std::vector<int64_t>{static_cast<int64_t>(rank) - 1});
    return mean;
  };
  const std::string centred = e.step("Sub", {x, mean_of(x, "mean")}, "centred");
  const std::string square = e.step("Mul", {centred, centred}, "square");
  const std::string epsilon = e.number(node.name + ".epsilon", node.attributes.number("epsilon"));
  const std::string sum = e.step("Add", {mean_of(square, "variance"), epsilon}, "sum");
  const std::string deviation = e.step("Sqrt", {sum}, "deviation");
  const std::string normalized = e.step("Div", {centred, deviation}, "normalized");
  const std::string scaled = e.step("Mul", {normalized, e.plain(node.input(1))}, "scaled");
  e.add("Add", {scaled, e.plain(node.input(2))}, e.result(identity_order(rank)));
}

}  // namespace

void add_map_exports(ExportTable& table) {
  table[&kScale] = scale;
  table[&kClip] = clip;
  table[&kPow] = pow;
  table[&kSigmoid] = [](Exporter& e) { map(e, "Sigmoid"); };
  table[&kTanh] = [](Exporter& e) { map(e, "Tanh"); };
  table[&kErf] = [](Exporter& e) { map(e, "Erf"); };
  table[&kExp] = [](Exporter& e) { map(e, "Exp"); };
  table[&kLog] = [](Exporter& e) { map(e, "Log"); };
  table[&kSqrt] = [](Exporter& e) { map(e, "Sqrt"); };
  table[&kAbs] = [](Exporter& e) { map(e, "Abs"); };
  table[&kNeg] = [](Exporter& e) { map(e, "Neg"); };
  table[&kReciprocal] = [](Exporter& e) { map(e, "Reciprocal"); };
  table[&kSoftplus] = [](Exporter& e) { map(e, "Softplus"); };
  table[&kLeakyRelu] = [](Exporter& e) { with_alpha(e, "LeakyRelu"); };
  table[&kElu] = [](Exporter& e) { with_alpha(e, "Elu"); };
  table[&kHardSigmoid] = hard_sigmoid;
  table[&kHardSwish] = hard_swish;
  table[&kSilu] = silu;
  table[&kGelu] = gelu;
  table[&kBatchNormInference] = batch_norm;
  table[&kGroupNorm] = group_norm;
  table[&kLayerNorm] = layer_norm;
}

}  // namespace tinytl::internal

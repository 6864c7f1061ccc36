// Functions of one element: ReLU and its relatives, exp, sqrt, ...

#include <algorithm>

#include "engine/onnx/rules.h"

namespace tinytl::internal {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

template <const OpDef& kOp>
void map(Builder& builder, const OnnxNode& node) {
  translate_map(builder, node, kOp);
}

void clip_to(Builder& builder, const OnnxNode& node, float low, float high) {
  translate_map(builder, node, kClip, {{"low", low}, {"high", high}});
}

void relu(Builder& builder, const OnnxNode& node) { clip_to(builder, node, 0, kInfinity); }

void clip(Builder& builder, const OnnxNode& node) {
  const Literals literals = builder.literals(node);
  const float low = number_argument(node, literals, "min", 1).value_or(-kInfinity);
  const float high = number_argument(node, literals, "max", 2).value_or(kInfinity);
  clip_to(builder, node, low, high);
}

// Max(x, c) and Min(x, c) for a number c.
void bound(Builder& builder, const OnnxNode& node) {
  require(node.inputs() == 2, "only one tensor and one constant number are supported");
  const size_t at = builder.input(node, 0).literal ? 0 : 1;
  const LiteralPtr number = builder.constant_input(node, at, "one of the inputs");
  require(number->elements() == 1, "the constant must be one number");
  const float limit = floats_of(*number)[0];
  const Operand x = builder.plain(builder.input(node, 1 - at));
  require(number->shape.size() <= x.order.size(), "the constant must be one number");
  const bool is_max = node.op() == "Max";
  const ValueId y =
      builder.emit(kClip, {x.value},
                   {{"low", is_max ? limit : -kInfinity}, {"high", is_max ? kInfinity : limit}});
  builder.result(node, y, x.order);
}

void leaky_relu(Builder& builder, const OnnxNode& node) {
  translate_map(builder, node, kLeakyRelu, {{"alpha", node.number("alpha", 0.01f)}});
}

void p_relu(Builder& builder, const OnnxNode& node) {
  const auto slope = floats_of(*builder.constant_input(node, 1, "the slope"));
  const bool same = !slope.empty() && std::count(slope.begin(), slope.end(), slope[0]) ==
                                          static_cast<int64_t>(slope.size());
  require(same, "a slope for each channel (only one slope for all is supported)");
  translate_map(builder, node, kLeakyRelu, {{"alpha", slope[0]}});
}

void elu(Builder& builder, const OnnxNode& node) {
  translate_map(builder, node, kElu, {{"alpha", node.number("alpha", 1)}});
}

void hard_sigmoid(Builder& builder, const OnnxNode& node) {
  translate_map(builder, node, kHardSigmoid,
                {{"alpha", node.number("alpha", 0.2f)}, {"beta", node.number("beta", 0.5f)}});
}

void gelu(Builder& builder, const OnnxNode& node) {
  const std::string kind = node.text("approximate", "none");
  require(kind == "none" || kind == "tanh", "approximate \"" + kind + "\"");
  translate_map(builder, node, kGelu, {{"tanh", int64_t{kind == "tanh"}}});
}

void pow(Builder& builder, const OnnxNode& node) {
  const LiteralPtr exponent = builder.constant_input(node, 1, "the exponent");
  require(exponent->elements() == 1, "the exponent must be one number");
  translate_map(builder, node, kPow, {{"exponent", floats_of(*exponent)[0]}});
}

}  // namespace

void translate_map(Builder& builder, const OnnxNode& node, const OpDef& op, Attributes attributes) {
  Operand x = builder.input(node, 0);
  if (x.literal != nullptr) x = builder.plain(x);
  Operand result;
  result.value = builder.emit(op, {x.value}, std::move(attributes));
  result.order = x.order;
  result.flattened = x.flattened;
  builder.define(node.output(0), std::move(result));
}

void add_activation_rules(RuleTable& rules) {
  rules["Relu"] = relu;
  rules["Clip"] = clip;
  rules["Max"] = bound;
  rules["Min"] = bound;
  rules["LeakyRelu"] = leaky_relu;
  rules["PRelu"] = p_relu;
  rules["Elu"] = elu;
  rules["HardSigmoid"] = hard_sigmoid;
  rules["HardSwish"] = map<kHardSwish>;
  rules["Gelu"] = gelu;
  rules["Pow"] = pow;
  rules["Sigmoid"] = map<kSigmoid>;
  rules["Tanh"] = map<kTanh>;
  rules["Erf"] = map<kErf>;
  rules["Exp"] = map<kExp>;
  rules["Log"] = map<kLog>;
  rules["Sqrt"] = map<kSqrt>;
  rules["Abs"] = map<kAbs>;
  rules["Neg"] = map<kNeg>;
  rules["Reciprocal"] = map<kReciprocal>;
  rules["Softplus"] = map<kSoftplus>;
}

}  // namespace tinytl::internal

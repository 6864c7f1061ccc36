#include "engine/onnx/fuse.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/ops/op_table.h"

namespace tinytl::internal {
namespace {

bool is_near(float a, double b) { return std::fabs(a - b) <= 1e-4 * std::fabs(b); }

class Matcher {
 public:
  explicit Matcher(const Graph& graph) : graph_(graph) {}

  const Node* producer(ValueId value, const OpDef& op) const {
    const NodeId id = graph_.value(value).producer;
    return id != kNoNode && graph_.node(id).op == &op ? &graph_.node(id) : nullptr;
  }

  // The one number a constant holds.
  std::optional<float> number(ValueId value) const {
    const Value& v = graph_.value(value);
    if (v.role != Role::kConstant || v.type.elements() != 1) return std::nullopt;
    return v.data->f32()[0];
  }

  // y = x + number.
  struct Shifted {
    ValueId x;
    float number;
  };
  std::optional<Shifted> shifted(ValueId y) const {
    const Node* add = producer(y, kAdd);
    if (add == nullptr) return std::nullopt;
    for (size_t i : {0, 1}) {
      if (const auto n = number(add->input(i))) return Shifted{add->input(1 - i), *n};
    }
    return std::nullopt;
  }

  // y = coefficient * product of factors, sorted, looking through at most a few products.
  struct Product {
    float coefficient = 1;
    std::vector<ValueId> factors;
  };
  Product product(ValueId y) const {
    Product p;
    collect(y, p, 6);
    std::sort(p.factors.begin(), p.factors.end());
    return p;
  }

  const Graph& graph() const { return graph_; }

 private:
  void collect(ValueId y, Product& p, int depth) const {
    if (const Node* scale = producer(y, kScale); scale != nullptr && depth > 0) {
      p.coefficient *= scale->attributes.number("factor");
      return collect(scale->input(0), p, depth - 1);
    }
    if (const Node* mul = producer(y, kMul); mul != nullptr && depth > 0) {
      collect(mul->input(0), p, depth - 1);
      return collect(mul->input(1), p, depth - 1);
    }
    const Node* pow = producer(y, kPow);
    if (pow != nullptr && (pow->attributes.number("exponent") == 3.0f ||
                           pow->attributes.number("exponent") == 2.0f)) {
      p.factors.insert(p.factors.end(), size_t(pow->attributes.number("exponent")), pow->input(0));
      return;
    }
    p.factors.push_back(y);
  }

  const Graph& graph_;
};

// x where u = sqrt(2/pi) (x + 0.044715 x^3).
bool is_tanh_argument(const Matcher& m, ValueId u, ValueId x) {
  const auto outer = m.product(u);
  if (outer.factors.size() != 1 || !is_near(outer.coefficient, std::sqrt(2 / M_PI))) return false;
  const Node* sum = m.producer(outer.factors[0], kAdd);
  if (sum == nullptr) return false;
  for (size_t i : {0, 1}) {
    const auto cubic = m.product(sum->input(i));
    const bool matches = sum->input(1 - i) == x && is_near(cubic.coefficient, 0.044715) &&
                         cubic.factors == std::vector<ValueId>(3, x);
    if (matches) return true;
  }
  return false;
}

bool is_erf_argument(const Matcher& m, ValueId u, ValueId x) {
  const auto p = m.product(u);
  return p.factors == std::vector<ValueId>{x} && is_near(p.coefficient, std::sqrt(0.5));
}

// y = 1/2 x (1 + erf(x / sqrt 2)), or the form with tanh; in any order of the factors.
struct Gelu {
  ValueId x;
  bool tanh;
};
std::optional<Gelu> match_gelu(const Matcher& m, ValueId y) {
  const auto p = m.product(y);
  if (p.factors.size() != 2 || !is_near(p.coefficient, 0.5)) return std::nullopt;
  for (size_t i : {0, 1}) {
    const ValueId x = p.factors[i];
    const auto sum = m.shifted(p.factors[1 - i]);
    if (!sum || sum->number != 1) continue;
    if (const Node* erf = m.producer(sum->x, kErf); erf && is_erf_argument(m, erf->input(0), x)) {
      return Gelu{x, false};
    }
    if (const Node* t = m.producer(sum->x, kTanh); t && is_tanh_argument(m, t->input(0), x)) {
      return Gelu{x, true};
    }
  }
  return std::nullopt;
}

// x where y = x gate(x).
template <typename IsGate>
std::optional<ValueId> match_gated(const Matcher& m, ValueId y, const OpDef& gate, IsGate is_gate) {
  const Node* mul = m.producer(y, kMul);
  if (mul == nullptr) return std::nullopt;
  for (size_t i : {0, 1}) {
    const Node* g = m.producer(mul->input(i), gate);
    if (g != nullptr && g->input(0) == mul->input(1 - i) && is_gate(*g)) return g->input(0);
  }
  return std::nullopt;
}

std::optional<ValueId> match_silu(const Matcher& m, ValueId y) {
  return match_gated(m, y, kSigmoid, [](const Node&) { return true; });
}

std::optional<ValueId> match_hard_swish(const Matcher& m, ValueId y) {
  return match_gated(m, y, kHardSigmoid, [](const Node& gate) {
    return is_near(gate.attributes.number("alpha"), 1.0 / 6) &&
           is_near(gate.attributes.number("beta"), 0.5);
  });
}

bool reduces_last(const Matcher& m, const Node& mean) {
  const auto axes = mean.attributes.integers("axes");
  const auto last = static_cast<int64_t>(m.graph().value(mean.input(0)).type.rank()) - 1;
  return axes.size() == 1 && axes[0] == last && mean.attributes.integer("keepdims") != 0;
}

// x where d = x - mean(x).
std::optional<ValueId> match_centred(const Matcher& m, ValueId d) {
  const Node* sub = m.producer(d, kSub);
  if (sub == nullptr) return std::nullopt;
  const Node* mean = m.producer(sub->input(1), kReduceMean);
  if (mean == nullptr || mean->input(0) != sub->input(0) || !reduces_last(m, *mean)) {
    return std::nullopt;
  }
  return sub->input(0);
}

// epsilon where s = sqrt(mean(d^2) + epsilon), for a d with the same x.
std::optional<float> match_deviation(const Matcher& m, ValueId s, ValueId x) {
  const Node* root = m.producer(s, kSqrt);
  if (root == nullptr) return std::nullopt;
  const auto sum = m.shifted(root->input(0));
  const Node* variance = sum ? m.producer(sum->x, kReduceMean) : nullptr;
  if (variance == nullptr || !reduces_last(m, *variance)) return std::nullopt;
  const auto square = m.product(variance->input(0));
  if (square.coefficient != 1 || square.factors.size() != 2) return std::nullopt;
  if (square.factors[0] != square.factors[1]) return std::nullopt;
  if (match_centred(m, square.factors[0]) != x) return std::nullopt;
  return sum->number;
}

// n = (x - mean) / sqrt(variance + epsilon), as a quotient or a product with the reciprocal.
struct Normalized {
  ValueId x;
  float epsilon;
};
std::optional<Normalized> match_normalized(const Matcher& m, ValueId n) {
  const auto with = [&](ValueId d, ValueId s) -> std::optional<Normalized> {
    const auto x = match_centred(m, d);
    const auto epsilon = x ? match_deviation(m, s, *x) : std::nullopt;
    if (!epsilon) return std::nullopt;
    return Normalized{*x, *epsilon};
  };
  if (const Node* div = m.producer(n, kDiv)) return with(div->input(0), div->input(1));
  const Node* mul = m.producer(n, kMul);
  if (mul == nullptr) return std::nullopt;
  for (size_t i : {0, 1}) {
    const Node* reciprocal = m.producer(mul->input(i), kReciprocal);
    if (reciprocal != nullptr) return with(mul->input(1 - i), reciprocal->input(0));
  }
  return std::nullopt;
}

bool is_vector(const Graph& graph, ValueId value, int64_t size) {
  const Value& v = graph.value(value);
  return is_persistent(v.role) && v.type.shape == Shape{size};
}

// y = n * scale + shift.
struct LayerNorm {
  Normalized normalized;
  ValueId scale, shift;
};
std::optional<LayerNorm> match_layer_norm(const Matcher& m, ValueId y) {
  const Node* add = m.producer(y, kAdd);
  if (add == nullptr || m.graph().value(y).type.rank() == 0) return std::nullopt;
  const int64_t size = m.graph().value(y).type.shape.back();
  for (size_t i : {0, 1}) {
    const Node* mul = m.producer(add->input(i), kMul);
    if (mul == nullptr || !is_vector(m.graph(), add->input(1 - i), size)) continue;
    for (size_t j : {0, 1}) {
      if (!is_vector(m.graph(), mul->input(1 - j), size)) continue;
      const auto normalized = match_normalized(m, mul->input(j));
      if (normalized) return LayerNorm{*normalized, mul->input(1 - j), add->input(1 - i)};
    }
  }
  return std::nullopt;
}

void replace(Node& node, const OpDef& op, std::vector<ValueId> inputs, Attributes attributes) {
  node.op = &op;
  node.inputs = std::move(inputs);
  node.attributes = std::move(attributes);
}

}  // namespace

void fuse(Graph& graph) {
  const Matcher matcher(graph);
  for (size_t n = 0; n < graph.nodes().size(); ++n) {
    Node& node = graph.node(NodeId{static_cast<uint32_t>(n)});
    if (node.outputs.size() != 1) continue;
    const ValueId y = node.output();
    if (const auto ln = match_layer_norm(matcher, y)) {
      replace(node, kLayerNorm, {ln->normalized.x, ln->scale, ln->shift},
              {{"epsilon", ln->normalized.epsilon}});
      graph.value(ln->scale).role = Role::kWeight;
      graph.value(ln->shift).role = Role::kBias;
    } else if (const auto gelu = match_gelu(matcher, y)) {
      replace(node, kGelu, {gelu->x}, {{"tanh", int64_t{gelu->tanh}}});
    } else if (const auto silu = match_silu(matcher, y)) {
      replace(node, kSilu, {*silu}, {});
    } else if (const auto hard_swish = match_hard_swish(matcher, y)) {
      replace(node, kHardSwish, {*hard_swish}, {});
    }
  }
}

}  // namespace tinytl::internal

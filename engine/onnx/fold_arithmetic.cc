#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "engine/onnx/fold.h"

namespace tinytl::internal {
namespace {

// Integer arithmetic that wraps instead of overflowing: a damaged file must not be undefined.
int64_t wrap(uint64_t value) { return static_cast<int64_t>(value); }
uint64_t bits(int64_t value) { return static_cast<uint64_t>(value); }

struct Binary {
  float (*numbers)(float, float);
  int64_t (*integers)(int64_t, int64_t);
  bool is_comparison = false;
};

int64_t divide(int64_t a, int64_t b) {
  require(b != 0, "division by zero");
  return b == -1 ? wrap(0 - bits(a)) : a / b;
}

int64_t modulo(int64_t a, int64_t b) {  // the sign of the divisor, as in Python
  require(b != 0, "division by zero");
  if (b == -1) return 0;
  const int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

int64_t remainder(int64_t a, int64_t b) {
  require(b != 0, "division by zero");
  return b == -1 ? 0 : a % b;
}

int64_t power(int64_t a, int64_t b) {
  return static_cast<int64_t>(
      std::clamp(std::pow(static_cast<double>(a), static_cast<double>(b)), -9e18, 9e18));
}

const std::map<std::string_view, Binary>& binaries() {
  using F = float;
  using I = int64_t;
  static const std::map<std::string_view, Binary> table{
      {"Add", {[](F a, F b) { return a + b; }, [](I a, I b) { return wrap(bits(a) + bits(b)); }}},
      {"Sub", {[](F a, F b) { return a - b; }, [](I a, I b) { return wrap(bits(a) - bits(b)); }}},
      {"Mul", {[](F a, F b) { return a * b; }, [](I a, I b) { return wrap(bits(a) * bits(b)); }}},
      {"Div", {[](F a, F b) { return a / b; }, divide}},
      {"Mod", {[](F a, F b) { return std::fmod(a, b); }, modulo}},
      {"Pow", {[](F a, F b) { return std::pow(a, b); }, power}},
      {"Min", {[](F a, F b) { return std::min(a, b); }, [](I a, I b) { return std::min(a, b); }}},
      {"Max", {[](F a, F b) { return std::max(a, b); }, [](I a, I b) { return std::max(a, b); }}},
      {"Equal", {[](F a, F b) -> F { return a == b; }, [](I a, I b) -> I { return a == b; }, true}},
      {"Less", {[](F a, F b) -> F { return a < b; }, [](I a, I b) -> I { return a < b; }, true}},
      {"Greater", {[](F a, F b) -> F { return a > b; }, [](I a, I b) -> I { return a > b; }, true}},
      {"And", {[](F a, F b) -> F { return a && b; }, [](I a, I b) -> I { return a && b; }, true}},
      {"Or", {[](F a, F b) -> F { return a || b; }, [](I a, I b) -> I { return a || b; }, true}},
  };
  return table;
}

const std::map<std::string_view, float (*)(float)>& unaries() {
  using F = float;
  static const std::map<std::string_view, float (*)(float)> table{
      {"Sqrt", [](F v) { return std::sqrt(v); }},
      {"Exp", [](F v) { return std::exp(v); }},
      {"Log", [](F v) { return std::log(v); }},
      {"Floor", [](F v) { return std::floor(v); }},
      {"Ceil", [](F v) { return std::ceil(v); }},
      {"Round", [](F v) { return std::nearbyint(v); }},
      {"Neg", [](F v) { return -v; }},
      {"Abs", [](F v) { return std::fabs(v); }},
      {"Reciprocal", [](F v) { return 1 / v; }},
      {"Sin", [](F v) { return std::sin(v); }},
      {"Cos", [](F v) { return std::cos(v); }},
      {"Relu", [](F v) { return std::max(v, 0.0f); }},
      {"Not", [](F v) { return v == 0 ? 1.0f : 0.0f; }},
  };
  return table;
}

// For every element of the broadcast of two shapes, calls f(index in a, index in b).
template <typename F>
void broadcast_each(const Shape& a, const Shape& b, const Shape& out, F f) {
  const auto strides = [&](const Shape& s) {
    Shape result(out.size(), 0);
    int64_t running = 1;
    for (size_t i = 1; i <= s.size(); ++i) {
      if (s[s.size() - i] != 1) result[out.size() - i] = running;
      running *= s[s.size() - i];
    }
    return result;
  };
  const Shape sa = strides(a), sb = strides(b);
  Shape at(out.size(), 0);
  int64_t ia = 0, ib = 0;
  for (int64_t left = checked_elements(out); left > 0; --left) {
    f(static_cast<size_t>(ia), static_cast<size_t>(ib));
    for (size_t d = out.size(); d-- > 0;) {
      ia += sa[d];
      ib += sb[d];
      if (++at[d] < out[d]) break;
      ia -= sa[d] * out[d];
      ib -= sb[d] * out[d];
      at[d] = 0;
    }
  }
}

LiteralPtr apply(const Binary& f, const Literal& a, const Literal& b) {
  const Shape shape = broadcast_of(a.shape, b.shape);
  checked_elements(shape);
  if (is_integer(a.type) && is_integer(b.type)) {
    const auto x = integers_of(a), y = integers_of(b);
    std::vector<int64_t> z;
    broadcast_each(a.shape, b.shape, shape,
                   [&](size_t i, size_t j) { z.push_back(f.integers(x[i], y[j])); });
    return make_literal(shape, z);
  }
  const auto x = floats_of(a), y = floats_of(b);
  std::vector<float> z;
  broadcast_each(a.shape, b.shape, shape,
                 [&](size_t i, size_t j) { z.push_back(f.numbers(x[i], y[j])); });
  const LiteralPtr result = make_literal(shape, z);
  return f.is_comparison ? make_literal(shape, integers_of(*result)) : result;
}

LiteralPtr apply(float (*f)(float), const Literal& x) {
  std::vector<float> y = floats_of(x);
  for (float& v : y) v = f(v);
  const LiteralPtr result = make_literal(x.shape, y);
  return is_integer(x.type) ? make_literal(x.shape, integers_of(*result)) : result;
}

}  // namespace

std::optional<LiteralPtr> fold_arithmetic(const OnnxNode& node, const Literals& inputs) {
  for (const LiteralPtr& input : inputs) {
    if (input == nullptr) return std::nullopt;
  }
  const auto unary = unaries().find(node.op());
  if (unary != unaries().end() && inputs.size() == 1) return apply(unary->second, *inputs[0]);
  const auto binary = binaries().find(node.op());
  if (binary == binaries().end() || inputs.empty()) return std::nullopt;
  const bool variadic = node.op() == "Min" || node.op() == "Max";
  require(variadic || inputs.size() == 2, "needs two inputs");
  const bool truncates = node.flag("fmod");  // Mod with the sign of the dividend, as in C
  Binary function = binary->second;
  if (truncates) function.integers = remainder;
  LiteralPtr result = inputs[0];
  for (size_t i = 1; i < inputs.size(); ++i) result = apply(function, *result, *inputs[i]);
  return result;
}

}  // namespace tinytl::internal

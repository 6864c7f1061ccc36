// Forward values: activations and softmax against their formulas in double.

#include <algorithm>
#include <cmath>
#include <numbers>

#include "tests/ops/forward_support.h"

namespace tinytl {
namespace {

using testing::ElementsAre;

double softmax(const OpCase& c, const Operands& t, const Ints& at, const Shape& out) {
  const auto axis = static_cast<size_t>(c.attributes.integer("axis"));
  double sum = 0;
  Ints j = at;
  for (j[axis] = 0; j[axis] < out[axis]; ++j[axis]) {
    sum += std::exp(double{t.f32[0][broadcast_index(j, out)]});
  }
  return std::exp(double{t.f32[0][broadcast_index(at, out)]}) / sum;
}

TEST(Activation, SoftmaxRunsAlongItsAxis) {
  expect_all_cases_match(kSoftmax, softmax);
  expect_all_cases_match(kLogSoftmax,
                         [](const OpCase& c, const Operands& t, const Ints& at, const Shape& out) {
                           return std::log(softmax(c, t, at, out));
                         });
}

TEST(Activation, SoftmaxDoesNotOverflow) {
  EXPECT_THAT(run(kSoftmax, {{{1, 3}, {1000, 1000, -1000}}}, {{"axis", int64_t{1}}}),
              ElementsAre(0.5f, 0.5f, 0.0f));
  EXPECT_THAT(run(kLogSoftmax, {{{1, 2}, {-1000, 0}}}, {{"axis", int64_t{1}}}),
              ElementsAre(-1000.0f, 0.0f));
}

struct Elementwise {
  const OpDef* op;
  Attributes attributes;
  double (*formula)(double);
};

TEST(Activation, ActivationsAreTheirFormulas) {
  const auto gelu = [](double x) { return x * 0.5 * std::erfc(-x / std::numbers::sqrt2); };
  const auto gelu_tanh = [](double x) {
    const double u = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
    return x * 0.5 * (1 + std::tanh(u));
  };
  const Elementwise table[] = {
      {&kClip, {{"low", 0.0f}, {"high", 6.0f}}, [](double x) { return std::clamp(x, 0.0, 6.0); }},
      {&kLeakyRelu, {{"alpha", 0.25f}}, [](double x) { return x > 0 ? x : 0.25 * x; }},
      {&kAbs, {}, [](double x) { return std::abs(x); }},
      {&kHardSigmoid,
       {{"alpha", 0.25f}, {"beta", 0.5f}},
       [](double x) { return std::clamp(x / 4 + 0.5, 0.0, 1.0); }},
      {&kHardSwish, {}, [](double x) { return x * std::clamp(x / 6 + 0.5, 0.0, 1.0); }},
      {&kSigmoid, {}, [](double x) { return 1 / (1 + std::exp(-x)); }},
      {&kSilu, {}, [](double x) { return x / (1 + std::exp(-x)); }},
      {&kGelu, {{"tanh", int64_t{0}}}, gelu},
      {&kGelu, {{"tanh", int64_t{1}}}, gelu_tanh},
      {&kTanh, {}, [](double x) { return std::tanh(x); }},
      {&kElu, {{"alpha", 1.5f}}, [](double x) { return x > 0 ? x : 1.5 * std::expm1(x); }},
      {&kSoftplus, {}, [](double x) { return x > 30 ? x : std::log1p(std::exp(x)); }},
      {&kErf, {}, [](double x) { return std::erf(x); }},
      {&kExp, {}, [](double x) { return std::exp(x); }},
      {&kReciprocal, {}, [](double x) { return 1 / x; }},
      {&kNeg, {}, [](double x) { return -x; }},
      {&kPow, {{"exponent", 2.0f}}, [](double x) { return x * x; }},
      {&kPow, {{"exponent", -1.0f}}, [](double x) { return 1 / x; }},
  };
  const Floats x{-80, -20, -3.5f, -3, -1, -0.5f, -1e-3f, 1e-3f, 0.5f, 1, 3, 3.5f, 20, 80};
  for (const Elementwise& row : table) {
    SCOPED_TRACE(std::string(row.op->name));
    const Floats y = run(*row.op, {{{2, 7}, x}}, row.attributes);
    for (size_t i = 0; i < x.size(); ++i) {
      const double expected = row.formula(x[i]);
      EXPECT_NEAR(y[i], expected, 2e-6 * std::abs(expected) + 1e-30) << "x = " << x[i];
    }
  }
}

TEST(Activation, RootsAndLogarithms) {
  const Floats x{1e-6f, 0.25f, 1, 2, 1e6f};
  const Floats root = run(kSqrt, {{{5}, x}}), log = run(kLog, {{{5}, x}});
  const Floats power = run(kPow, {{{5}, x}}, {{"exponent", 0.75f}});
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_FLOAT_EQ(root[i], static_cast<float>(std::sqrt(double{x[i]})));
    EXPECT_FLOAT_EQ(log[i], static_cast<float>(std::log(double{x[i]})));
    EXPECT_FLOAT_EQ(power[i], static_cast<float>(std::pow(double{x[i]}, 0.75)));
  }
}

TEST(Activation, MasksSelect) {
  const Floats bits{1, -1, -1, 1, 1, -1, 1, -1, 1};  // bit i is set where element i is positive
  for (const OpDef* op : {&kMaskApply, &kMaskScale}) {
    const OpCase c{"test", op, {f32({9}), {DType::kBit, {9}}}, {{"set", 1.0f}, {"clear", 0.0f}}};
    EXPECT_THAT(run_forward(c, {{iota(9), bits}, {{}, {}}}, *tt_best_kernels()),
                ElementsAre(0, 0, 0, 3, 4, 0, 6, 0, 8));
  }
}

}  // namespace
}  // namespace tinytl

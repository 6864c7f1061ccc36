// Functions of one number, their gradients and broadcast arithmetic of every kernel set, against
// <cmath> in double.

#include <functional>
#include <numbers>

#include "tests/kernels/support.h"

namespace tinytl {
namespace {

using Function = Kernels;

INSTANTIATE_TEST_SUITE_P(Sets, Function, testing::ValuesIn(all_kernel_sets()),
                         [](const auto& test) { return std::string(test.param->name); });

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kAlpha = 0.3f, kBeta = 0.6f;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double phi(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi); }
double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }
double twice_u(double x) {
  return 2 * std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
}
double twice_du(double x) {
  return 2 * std::sqrt(2 / std::numbers::pi) * (1 + 3 * 0.044715 * x * x);
}

// A function, its slope where map_grad has it, and the exponent whose rounding shows in its value.
struct Formula {
  tt_function f;
  std::function<double(double)> value;
  std::function<double(double)> slope = nullptr;
  std::function<double(double)> exponent = nullptr;
  bool saves_y = false;
};

const std::vector<Formula>& formulas() {
  static const std::vector<Formula> kFormulas{
      {TT_LINEAR, [](double x) { return (x + kBeta) * kAlpha; }},
      {TT_ABS, [](double x) { return std::abs(x); }},
      {TT_LEAKY_RELU, [](double x) { return x > 0 ? x : kAlpha * x; }},
      {TT_HARD_SIGMOID, [](double x) { return std::clamp(kAlpha * x + kBeta, 0.0, 1.0); }},
      {TT_HARD_SWISH, [](double x) { return x * std::clamp(x / 6 + 0.5, 0.0, 1.0); },
       [](double x) { return x <= -3  ? 0
                             : x >= 3 ? 1
                                      : x / 3 + 0.5; }},
      {TT_EXP, [](double x) { return std::exp(x); }},
      {TT_LOG, [](double x) { return std::log(x); }},
      {TT_SIGMOID, sigmoid, [](double x) { return sigmoid(x) * (1 - sigmoid(x)); }, nullptr, true},
      {TT_TANH, [](double x) { return std::tanh(x); },
       [](double x) { return 1 - std::tanh(x) * std::tanh(x); }, nullptr, true},
      {TT_ERF, [](double x) { return std::erf(x); },
       [](double x) { return 2 / std::sqrt(std::numbers::pi) * std::exp(-x * x); }},
      {TT_ELU, [](double x) { return x > 0 ? x : kAlpha * std::expm1(x); },
       [](double x) { return x > 0 ? 1 : kAlpha * std::exp(x); }, nullptr, true},
      {TT_SOFTPLUS, [](double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); },
       sigmoid, nullptr, true},
      {TT_SILU, [](double x) { return x * sigmoid(x); },
       [](double x) { return sigmoid(x) * (1 + x * (1 - sigmoid(x))); }},
      {TT_GELU, [](double x) { return x * normal_cdf(x); },
       [](double x) { return normal_cdf(x) + x * phi(x); }, [](double x) { return x * x; }},
      {TT_GELU_TANH, [](double x) { return x * sigmoid(twice_u(x)); },
       [](double x) {
         const double s = sigmoid(twice_u(x));
         return s * (1 + x * (1 - s) * twice_du(x));
       },
       [](double x) { return std::abs(twice_u(x)); }},
  };
  return kFormulas;
}

// Both signs of every size from subnormal to huge, and a fine grid where functions bend.
Buffer arguments() {
  std::vector<float> x{0.0f, -0.0f, 1e-40f, -1e-40f, 3e38f, -3e38f, 88.5f, -87.0f, 3.0f, -3.0f};
  for (float size = 1e-37f; size < 1e37f; size *= 3.7f) {
    x.push_back(size);
    x.push_back(-size);
  }
  for (float at = -20.0f; at < 20.0f; at += 0.00731f) x.push_back(at);
  Buffer buffer(static_cast<int64_t>(x.size()));
  std::copy(x.begin(), x.end(), buffer.get());
  return buffer;
}

double as_float(double x) { return double{static_cast<float>(x)}; }

TEST_P(Function, ValuesAreWithinAMillionth) {
  const Buffer x = arguments();
  Buffer y(static_cast<int64_t>(x.size()));
  for (const Formula& row : formulas()) {
    SCOPED_TRACE("function " + std::to_string(row.f));
    kernels().map(row.f, x.get(), static_cast<int64_t>(x.size()), kAlpha, kBeta, y.get());
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = as_float(row.value(double{x[i]}));
      if (std::isnan(want) || std::isinf(want)) {
        ASSERT_TRUE(std::isnan(want) ? std::isnan(y[i]) : y[i] == want) << x[i] << ": " << y[i];
        continue;
      }
      // The vector kernels take the exponent of the normal distribution in two parts.
      const bool is_exact = row.f == TT_GELU && &kernels() != &tt_portable_kernels;
      const double spread = row.exponent && !is_exact ? row.exponent(double{x[i]}) : 0;
      // In sums with beta, and where powers are too small for a float, errors are absolute.
      const double floor = row.f == TT_LINEAR || row.f == TT_HARD_SIGMOID || row.f == TT_HARD_SWISH
                               ? 1e-7
                               : 2e-38 * (1 + std::min(200.0, std::abs(double{x[i]})));
      ASSERT_NEAR(y[i], want, 1e-6 * (1 + spread / 8) * std::abs(want) + floor) << x[i];
    }
  }
}

TEST_P(Function, GradientsAreTheSlopes) {
  Random random(1);
  Buffer x = arguments();
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::clamp(x[i], -1e4f, 1e4f);
  const int64_t n = static_cast<int64_t>(x.size());
  const Buffer dy = random.buffer(n);
  for (const Formula& row : formulas()) {
    if (!row.slope) continue;
    SCOPED_TRACE("function " + std::to_string(row.f));
    Buffer saved = x, dx(n);
    if (row.saves_y) kernels().map(row.f, x.get(), n, kAlpha, kBeta, saved.get());
    kernels().map_grad(row.f, dy.get(), saved.get(), n, kAlpha, dx.get());
    for (size_t i = 0; i < x.size(); ++i) {
      // What a slope is made of, 1 - s or Phi + x phi, cancels in places.
      ASSERT_NEAR(dx[i], double{dy[i]} * row.slope(double{x[i]}), 2e-6) << x[i];
    }
  }
}

TEST_P(Function, NanStaysNan) {
  constexpr int64_t kN = 21;
  const Buffer nan(kN);
  Buffer dy(kN), y(kN);
  for (size_t i = 0; i < dy.size(); ++i) dy[i] = 1.0f;
  for (const Formula& row : formulas()) {
    std::fill_n(y.get(), kN, 0.0f);
    kernels().map(row.f, nan.get(), kN, kAlpha, kBeta, y.get());
    for (size_t i = 0; i < y.size(); ++i) EXPECT_TRUE(std::isnan(y[i])) << row.f;
    if (!row.slope) continue;
    std::fill_n(y.get(), kN, 0.0f);
    kernels().map_grad(row.f, dy.get(), nan.get(), kN, kAlpha, y.get());
    for (size_t i = 0; i < y.size(); ++i) EXPECT_TRUE(std::isnan(y[i])) << row.f;
  }
}

TEST_P(Function, InfinityIsWhatTheScalarFunctionsMakeOfIt) {
  Buffer x(2), y(2), want(2);
  x[0] = kInfinity;
  x[1] = -kInfinity;
  for (const Formula& row : formulas()) {
    kernels().map(row.f, x.get(), 2, kAlpha, kBeta, y.get());
    tt_portable_kernels.map(row.f, x.get(), 2, kAlpha, kBeta, want.get());
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(y[i] == want[i] || (std::isnan(y[i]) && std::isnan(want[i])))
          << row.f << " of " << x[i] << ": " << y[i] << ", not " << want[i];
    }
  }
}

// An element's result depends neither on its place nor on what is overwritten.
TEST_P(Function, PartsAndPlacesGiveTheSameBits) {
  Random random(2);
  constexpr int64_t kN = 203;
  const Buffer x = random.buffer(kN), dy = random.buffer(kN);
  for (const Formula& row : formulas()) {
    Buffer whole(kN), parts(kN), over = x;
    kernels().map(row.f, x.get(), kN, kAlpha, kBeta, whole.get());
    kernels().map(row.f, over.get(), kN, kAlpha, kBeta, over.get());
    for (int64_t i = 0; i < kN; i += 29) {
      kernels().map(row.f, x.get() + i, std::min<int64_t>(29, kN - i), kAlpha, kBeta,
                    parts.get() + i);
    }
    if (row.f == TT_LOG) continue;  // NaNs are not equal
    EXPECT_TRUE(whole == parts) << row.f;
    EXPECT_TRUE(whole == over) << row.f;
    if (!row.slope) continue;
    Buffer over_dy = dy, over_saved = x;
    kernels().map_grad(row.f, dy.get(), x.get(), kN, kAlpha, whole.get());
    kernels().map_grad(row.f, over_dy.get(), x.get(), kN, kAlpha, over_dy.get());
    kernels().map_grad(row.f, dy.get(), over_saved.get(), kN, kAlpha, over_saved.get());
    EXPECT_TRUE(whole == over_dy) << row.f;
    EXPECT_TRUE(whole == over_saved) << row.f;
  }
}

TEST_P(Function, ArithmeticHasTheBitsOfThePortableKernel) {
  Random random(3);
  constexpr int64_t kN = 101;
  const Buffer x = random.buffer(kN), dy = random.buffer(kN);
  Buffer y(kN), want(kN);
  for (const tt_function f : {TT_LINEAR, TT_ABS, TT_LEAKY_RELU, TT_HARD_SIGMOID, TT_HARD_SWISH}) {
    kernels().map(f, x.get(), kN, 4.0f, kBeta, y.get());
    tt_portable_kernels.map(f, x.get(), kN, 4.0f, kBeta, want.get());
    EXPECT_TRUE(y == want) << f;
  }
  for (const tt_function f : {TT_HARD_SWISH, TT_SIGMOID, TT_TANH, TT_ELU}) {
    kernels().map_grad(f, dy.get(), x.get(), kN, kAlpha, y.get());
    tt_portable_kernels.map_grad(f, dy.get(), x.get(), kN, kAlpha, want.get());
    EXPECT_TRUE(y == want) << f;
  }
}

TEST_P(Function, MaskScaleChoosesBetweenTwoFactors) {
  Random random(4);
  for (const int64_t n : {1, 8, 63, 64, 65, 200, 1001}) {
    const Buffer x = random.buffer(n);
    std::vector<uint8_t> mask(static_cast<size_t>(n + 7) / 8);
    for (uint8_t& byte : mask) byte = static_cast<uint8_t>(random.integer(0, 255));
    Buffer y(n), over = x;
    kernels().mask_scale(x.get(), mask.data(), n, 1.5f, -0.25f, y.get());
    kernels().mask_scale(over.get(), mask.data(), n, 1.5f, -0.25f, over.get());
    for (size_t i = 0; i < y.size(); ++i) {
      ASSERT_EQ(y[i], x[i] * (mask[i / 8] >> (i % 8) & 1 ? 1.5f : -0.25f)) << i << " of " << n;
    }
    EXPECT_TRUE(y == over);
  }
}

TEST_P(Function, CombineBroadcastsRowsAndColumns) {
  Random random(5);
  for (int trial = 0; trial < 200 && !HasFailure(); ++trial) {
    const int64_t rows = random.integer(1, 5), cols = random.integer(1, 70);
    const auto operand = [&](const Buffer& data, bool row, bool col) {
      return tt_operand{data.get(), row ? (col ? cols : 1) : 0, col ? 1 : 0};
    };
    const Buffer a = random.buffer(rows * cols);
    Buffer b = random.buffer(rows * cols);
    for (size_t i = 0; i < b.size(); ++i) b[i] += b[i] < 0 ? -0.5f : 0.5f;
    tt_operand x = operand(a, true, true);
    tt_operand y = operand(b, random.integer(0, 1) == 1, random.integer(0, 1) == 1);
    if (random.integer(0, 1) == 1) std::swap(x, y);
    for (const tt_arithmetic op : {TT_ADD, TT_SUB, TT_MUL, TT_DIV}) {
      Buffer z(rows * cols), want(rows * cols);
      kernels().combine(op, &x, &y, rows, cols, z.get());
      tt_portable_kernels.combine(op, &x, &y, rows, cols, want.get());
      ASSERT_TRUE(z == want) << op << " of " << rows << " x " << cols;
    }
  }
}

}  // namespace
}  // namespace tinytl

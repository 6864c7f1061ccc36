// Forward values: products, arithmetic, moves and losses against loops over coordinates in double,
// or Eigen.

#include <Eigen/Core>
#include <cmath>

#include "tests/ops/forward_support.h"

namespace tinytl {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::FloatNear;
using testing::Pointwise;

double convolve(const OpCase& c, const Operands& t, const Ints& at, bool depthwise) {
  const Shape& x = c.inputs[0].shape;
  const Shape& w = c.inputs[1].shape;
  const auto strides = c.attributes.integers("strides"), pads = c.attributes.integers("pads");
  const auto dilations = c.attributes.integers("dilations");
  const int64_t in_group = depthwise ? 1 : w[2], out_c = w.back();
  const int64_t groups = depthwise ? x[3] : c.attributes.integer("groups");
  const int64_t first_c = at[3] / (out_c / groups) * in_group;
  double sum = t.f32.size() > 2 ? t.f32[2][static_cast<size_t>(at[3])] : 0.0f;
  for (int64_t i = 0; i < w[0]; ++i) {
    for (int64_t j = 0; j < w[1]; ++j) {
      const int64_t h = at[1] * strides[0] + i * dilations[0] - pads[0];
      const int64_t v = at[2] * strides[1] + j * dilations[1] - pads[1];
      if (h < 0 || h >= x[1] || v < 0 || v >= x[2]) continue;
      for (int64_t k = 0; k < in_group; ++k) {
        const int64_t xi = ((at[0] * x[1] + h) * x[2] + v) * x[3] + first_c + k;
        const int64_t wi = ((i * w[1] + j) * in_group + k) * out_c + at[3];
        sum += static_cast<double>(t.f32[0][static_cast<size_t>(xi)]) *
               t.f32[1][static_cast<size_t>(wi)];
      }
    }
  }
  return sum;
}

TEST(Forward, ConvolutionIsItsDefinition) {
  expect_all_cases_match(kConv2d, [](const OpCase& c, const Operands& t, const Ints& at,
                                     const Shape&) { return convolve(c, t, at, false); });
  expect_all_cases_match(kDepthwiseConv2d, [](const OpCase& c, const Operands& t, const Ints& at,
                                              const Shape&) { return convolve(c, t, at, true); });
}

TEST(Forward, MatMulIsItsDefinition) {
  expect_all_cases_match(kMatMul,
                         [](const OpCase& c, const Operands& t, const Ints& at, const Shape&) {
                           const bool ta = c.attributes.integer("transpose_a") != 0;
                           const bool tb = c.attributes.integer("transpose_b") != 0;
                           const Shape& a = c.inputs[0].shape;
                           const int64_t depth = ta ? a[a.size() - 2] : a.back();
                           double sum = 0;
                           for (int64_t k = 0; k < depth; ++k) {
                             Ints a_at = at, b_at = at;
                             a_at[at.size() - 2] = ta ? k : at[at.size() - 2];
                             a_at.back() = ta ? at[at.size() - 2] : k;
                             b_at[at.size() - 2] = tb ? at.back() : k;
                             b_at.back() = tb ? k : at.back();
                             sum += static_cast<double>(t.f32[0][broadcast_index(a_at, a)]) *
                                    t.f32[1][broadcast_index(b_at, c.inputs[1].shape)];
                           }
                           return sum;
                         });
}

TEST(Forward, LinearIsEigensProduct) {
  using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  std::mt19937 rng(1);
  OpCase c{"Linear", &kLinear, {f32({37, 53}), f32({53, 29}), f32({29})}};
  const Operands t = random_operands(c, rng);
  const Matrix x = Matrix::Map(t.f32[0].data(), 37, 53), w = Matrix::Map(t.f32[1].data(), 53, 29);
  const Eigen::RowVectorXf b = Eigen::RowVectorXf::Map(t.f32[2].data(), 29);
  const Matrix y = (x * w).rowwise() + b;
  const Floats expected(y.data(), y.data() + y.size());
  EXPECT_THAT(run_forward(c, t, tt_portable_kernels), Pointwise(FloatNear(2e-5f), expected));
  EXPECT_THAT(run_forward(c, t, *tt_best_kernels()), Pointwise(FloatNear(2e-5f), expected));
}

TEST(Forward, ArithmeticBroadcasts) {
  const auto with = [](double (*f)(double, double)) {
    return [f](const OpCase& c, const Operands& t, const Ints& at, const Shape&) {
      return f(t.f32[0][broadcast_index(at, c.inputs[0].shape)],
               t.f32[1][broadcast_index(at, c.inputs[1].shape)]);
    };
  };
  expect_all_cases_match(kAdd, with([](double x, double y) { return x + y; }));
  expect_all_cases_match(kSub, with([](double x, double y) { return x - y; }));
  expect_all_cases_match(kMul, with([](double x, double y) { return x * y; }));
  expect_all_cases_match(kDiv, with([](double x, double y) { return x / y; }));
  expect_all_cases_match(kBroadcastTo,
                         [](const OpCase& c, const Operands& t, const Ints& at, const Shape&) {
                           return double{t.f32[0][broadcast_index(at, c.inputs[0].shape)]};
                         });
  expect_all_cases_match(
      kScale, [](const OpCase& c, const Operands& t, const Ints& at, const Shape& out) {
        return double{t.f32[0][broadcast_index(at, out)]} * c.attributes.number("factor");
      });
}

TEST(Forward, SumToAddsWhatBroadcastsTogether) {
  expect_all_cases_match(
      kSumTo, [](const OpCase& c, const Operands& t, const Ints& at, const Shape& out) {
        double sum = 0;
        for (size_t i = 0; i < t.f32[0].size(); ++i) {
          const Ints from = coordinates(static_cast<int64_t>(i), c.inputs[0].shape);
          if (broadcast_index(from, out) == broadcast_index(at, out)) sum += t.f32[0][i];
        }
        return sum;
      });
}

TEST(Forward, ShapesMoveElements) {
  EXPECT_THAT(run(kTranspose, {{{2, 3}, iota(6)}}, {{"perm", Ints{1, 0}}}),
              ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(run(kReshape, {{{2, 3}, iota(6)}}, {{"shape", Ints{6}}}), ElementsAreArray(iota(6)));
  EXPECT_THAT(run(kConcat, {{{2, 1}, {7, 8}}, {{2, 2}, iota(4)}}, {{"axis", int64_t{1}}}),
              ElementsAre(7, 0, 1, 8, 2, 3));
  EXPECT_THAT(run(kConcat, {{{1, 2}, {7, 8}}, {{2, 2}, iota(4)}}, {{"axis", int64_t{0}}}),
              ElementsAre(7, 8, 0, 1, 2, 3));
  EXPECT_THAT(run(kSlice, {{{3, 4}, iota(12)}},
                  {{"starts", Ints{2, 1}}, {"sizes", Ints{2, 2}}, {"steps", Ints{-2, 2}}}),
              ElementsAre(9, 11, 1, 3));
  EXPECT_THAT(run(kPad, {{{2, 2}, iota(4)}},
                  {{"before", Ints{0, 1}}, {"after", Ints{1, 0}}, {"value", 9.0f}}),
              ElementsAre(9, 0, 1, 9, 2, 3, 9, 9, 9));
  EXPECT_THAT(run(kGather, {{{2, 3}, iota(6)}}, {{"axis", int64_t{1}}, {"indices", Ints{2, 0, 2}}}),
              ElementsAre(2, 0, 2, 5, 3, 5));
}

TEST(Forward, CrossEntropyIsItsFormula) {
  const double z[2][3] = {{1, 2, 3}, {-1, 0.5, 0}};
  const int labels[2] = {2, 0};
  const double smoothing = 0.25;
  double expected = 0;
  for (int n = 0; n < 2; ++n) {
    const double log_sum = std::log(std::exp(z[n][0]) + std::exp(z[n][1]) + std::exp(z[n][2]));
    for (int c = 0; c < 3; ++c) {
      const double target = (c == labels[n] ? 1 - smoothing : 0) + smoothing / 3;
      expected += target * (log_sum - z[n][c]) / 2;
    }
  }
  const OpCase c{"test",
                 &kSoftmaxCrossEntropy,
                 {f32({2, 3}), {DType::kI32, {2}}},
                 {{"label_smoothing", 0.25f}}};
  const Operands t{{{1, 2, 3, -1, 0.5f, 0}, {}}, {{}, {2, 0}}};
  EXPECT_NEAR(run_forward(c, t, tt_portable_kernels)[0], expected, 1e-6);
}

TEST(Forward, MeanSquaredErrorIsItsFormula) {
  EXPECT_THAT(run(kMeanSquaredError, {{{2, 2}, {1, 2, 3, 4}}, {{2, 2}, {1, 0, 0, 5}}}),
              ElementsAre((4.0f + 9.0f + 1.0f) / 4));
}

TEST(Forward, DropoutKeepsTheMeanAndFollowsItsSeed) {
  constexpr int64_t kCount = 20000;
  const auto draw = [](int32_t seed) {
    const OpCase c{"test", &kDropout, {f32({kCount}), {DType::kI32, {2}}}, {{"rate", 0.3f}}};
    return run_forward(c, {{Floats(kCount, 1.0f), {}}, {{}, {seed, 0}}}, tt_portable_kernels);
  };
  const Floats y = draw(1);
  double sum = 0;
  int dropped = 0;
  for (const float v : y) {
    sum += v;
    dropped += v == 0.0f;
    EXPECT_TRUE(v == 0.0f || v == 1.0f / 0.7f);
  }
  EXPECT_NEAR(dropped / double{kCount}, 0.3, 0.02);
  EXPECT_NEAR(sum / double{kCount}, 1.0, 0.03);
  EXPECT_EQ(draw(1), y);
  EXPECT_NE(draw(2), y);
}

}  // namespace
}  // namespace tinytl

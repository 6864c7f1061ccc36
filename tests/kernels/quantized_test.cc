// Layers of 8-bit integers and their updates: every kernel set against naive sums in 64 bits, to
// the bit.

#include <algorithm>

#include "tests/kernels/convolutions.h"

namespace tinytl {
namespace {

using Quantized = Kernels;

INSTANTIATE_TEST_SUITE_P(Sets, Quantized, testing::ValuesIn(all_kernel_sets()),
                         [](const auto& test) { return std::string(test.param->name); });

template <class T>
std::vector<T> integers(Random& random, int64_t n, int32_t low, int32_t high) {
  std::vector<T> v(static_cast<size_t>(n));
  for (T& x : v) x = static_cast<T>(random.integer(low, high));
  return v;
}

std::vector<int8_t> levels(Random& random, int64_t n) {
  return integers<int8_t>(random, n, -128, 127);
}

// What a layer ends in, with scales from far too small to far too large, and the biases of dead
// channels among the others.
struct End {
  End(Random& random, int32_t channels, bool fixed_point)
      : scale(static_cast<size_t>(channels)),
        bias(integers<int32_t>(random, channels, -20000, 20000)) {
    for (float& s : scale) {
      s = random.pick({0.0f, 4e-9f, 0.01f, 0.01f, 0.013f, 0.5f, 1.0f, 300.0f, 1e9f}) *
          (1 + 0.3f * random.real());
    }
    for (int32_t& b : bias) {
      if (random.integer(0, 7) == 0) b = random.pick({INT32_MIN, INT32_MIN + 5, INT32_MAX});
    }
    q.x_zero = random.integer(-128, 127);
    q.y_zero = random.integer(-128, 127);
    q.low = random.pick({-128, q.y_zero});
    q.high = random.pick({127, std::min(127, q.y_zero + 100)});
    q.factor = random.pick({0.25f, 0.07f, 1.0f});
    q.scale = random.integer(0, 5) == 0 ? nullptr : scale.data();
    q.bias = random.integer(0, 5) == 0 ? nullptr : bias.data();
    q.fixed_point = fixed_point ? 1 : 0;
  }
  End(const End&) = delete;

  int8_t of(int64_t sum, int64_t channel) const {
    const auto c = static_cast<size_t>(channel);
    const int64_t biased =
        std::clamp<int64_t>(sum + (q.bias != nullptr ? bias[c] : 0), INT32_MIN, INT32_MAX);
    const float m = q.scale != nullptr ? q.factor * scale[c] : q.factor;
    // 31 and 24 bits: exact in the 64 of a long double.
    const long double exact = static_cast<long double>(biased) * static_cast<long double>(m);
    const long double level = q.fixed_point != 0 ? std::floor(exact + 0.5L)
                                                 : std::nearbyint(static_cast<float>(biased) * m);
    const auto y = static_cast<long double>(q.y_zero) + level;
    return static_cast<int8_t>(
        std::clamp(y, static_cast<long double>(q.low), static_cast<long double>(q.high)));
  }

  tt_requantize q{};
  std::vector<float> scale;
  std::vector<int32_t> bias;
};

void expect_convolution(const tt_kernels& kernels, const tt_conv2d_shape& s, Random& random,
                        bool fixed_point) {
  const bool depthwise = s.groups == s.in_c && s.groups == s.out_c && s.groups > 1;
  const auto x = levels(random, int64_t{s.batch} * s.in_h * s.in_w * s.in_c);
  const auto w = levels(random, int64_t{s.kernel_h} * s.kernel_w * s.in_c / s.groups * s.out_c);
  const End end(random, s.out_c, fixed_point);
  std::vector<int64_t> sums(static_cast<size_t>(s.batch * s.out_h * s.out_w * s.out_c));
  for_each_product(s, [&](int64_t ix, int64_t iw, int64_t iy) {
    sums[static_cast<size_t>(iy)] +=
        int64_t{x[static_cast<size_t>(ix)] - end.q.x_zero} * w[static_cast<size_t>(iw)];
  });
  std::vector<int8_t> y(sums.size());
  const auto kernel = depthwise ? kernels.depthwise_q8 : kernels.conv2d_q8;
  kernel(&s, &end.q, x.data(), w.data(), y.data());
  for (size_t i = 0; i < y.size(); ++i) {
    ASSERT_EQ(y[i], end.of(sums[i], static_cast<int64_t>(i) % s.out_c)) << text(s) << ", " << i;
  }
}

TEST_P(Quantized, ConvolutionsAreThoseOfIntegersToTheBit) {
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    const tt_conv2d_shape s = random_shape(random, /*depthwise=*/i % 2 == 0);
    if (i % 2 == 0 && s.groups == 1) continue;
    expect_convolution(kernels(), s, random, /*fixed_point=*/i % 4 < 2);
  }
}

TEST_P(Quantized, LayersOfMobileNetsAreThoseOfIntegersToTheBit) {
  Random random(2);
  for (const bool fixed_point : {false, true}) {
    expect_convolution(kernels(), square(9, 3, 16, 3, 2, 1), random, fixed_point);
    expect_convolution(kernels(), square(7, 16, 96, 1, 1, 1), random, fixed_point);
    expect_convolution(kernels(), square(5, 336, 56, 1, 1, 1), random, fixed_point);
    expect_convolution(kernels(), square(4, 40, 130, 1, 1, 1), random, fixed_point);
    expect_convolution(kernels(), square(9, 96, 96, 3, 1, 96), random, fixed_point);
    expect_convolution(kernels(), square(9, 144, 144, 7, 2, 144), random, fixed_point);
  }
}

TEST_P(Quantized, SumsOfTheLargestProductsDoNotOverflow) {
  Random random(3);
  const tt_conv2d_shape s = square(1, 20000, 3, 1, 1, 1);
  End end(random, s.out_c, /*fixed_point=*/true);
  end.bias = {INT32_MAX, INT32_MIN, 0};
  end.q.bias = end.bias.data();
  end.q.x_zero = -128;
  for (const int8_t weight : {int8_t{127}, int8_t{-127}}) {
    const std::vector<int8_t> x(40000, 127), w(60000, weight);
    std::vector<int8_t> y(6);
    kernels().conv2d_q8(&s, &end.q, x.data(), w.data(), y.data());
    for (size_t i = 0; i < y.size(); ++i) {
      EXPECT_EQ(y[i], end.of(int64_t{20000} * 255 * weight, static_cast<int64_t>(i % 3)));
    }
  }
}

TEST_P(Quantized, MeansAreThoseOfIntegersToTheBit) {
  Random random(4);
  for (int i = 0; i < 60; ++i) {
    const int32_t channels = random.integer(1, 70), positions = random.integer(1, 60);
    const auto x = levels(random, int64_t{channels} * positions);
    End end(random, channels, i % 2 == 0);
    end.q.scale = nullptr;
    end.q.bias = nullptr;
    end.q.factor = 1.3f / static_cast<float>(positions);
    std::vector<int8_t> y(static_cast<size_t>(channels));
    kernels().mean_q8(&end.q, x.data(), positions, channels, y.data());
    for (int32_t c = 0; c < channels; ++c) {
      int64_t sum = 0;
      for (int32_t p = 0; p < positions; ++p) {
        sum += x[static_cast<size_t>(p * channels + c)] - end.q.x_zero;
      }
      ASSERT_EQ(y[static_cast<size_t>(c)], end.of(sum, c));
    }
  }
}

TEST_P(Quantized, SumsOfTwoTensorsAreRoundedOnce) {
  Random random(5);
  for (int i = 0; i < 60; ++i) {
    const int64_t n = random.integer(1, 300);
    const auto a = levels(random, n), b = levels(random, n);
    tt_add_scales q{.a_zero = random.integer(-128, 127),
                    .b_zero = random.integer(-128, 127),
                    .y_zero = random.integer(-128, 127),
                    .low = -128,
                    .high = random.pick({127, 60}),
                    .a_factor = random.pick({0.3f, 1.0f, 0.004f, 2.7f}),
                    .b_factor = random.pick({0.7f, 1.0f, 0.0001f, 300.0f}),
                    .fixed_point = i % 2};
    q.low = random.pick({-128, q.y_zero < q.high ? q.y_zero : -128});
    std::vector<int8_t> y(a.size());
    kernels().add_q8(&q, a.data(), b.data(), n, y.data());
    for (size_t j = 0; j < y.size(); ++j) {
      const float from_a = static_cast<float>(a[j] - q.a_zero) * q.a_factor;
      const float from_b = static_cast<float>(b[j] - q.b_zero) * q.b_factor;
      if (q.fixed_point == 0) {
        const float level = std::nearbyint(from_a + from_b) + static_cast<float>(q.y_zero);
        ASSERT_EQ(y[j], static_cast<int8_t>(std::clamp(level, static_cast<float>(q.low),
                                                       static_cast<float>(q.high))));
      } else {
        // Factors of 22 bits move the sum by 2^-22 of 255 times the larger at most.
        const double sum = double{from_a} + double{from_b} + q.y_zero;
        const double limited = std::clamp(sum, double(q.low), double(q.high));
        const double slack = 510 * std::max(q.a_factor, q.b_factor) / 2097152.0;
        ASSERT_NEAR(y[j], limited, 0.5 + slack + 1e-6);
      }
    }
  }
}

TEST_P(Quantized, NumbersBecomeTheNearestLevelAndComeBack) {
  Random random(6);
  const float scale = 0.37f;
  for (const int64_t n : {1, 15, 64, 333}) {
    for (const int32_t zero : {-128, -3, 0, 127}) {
      Buffer x(n), back(n);
      for (size_t i = 0; i < x.size(); ++i) x[i] = 100 * random.real();
      x[0] = std::numeric_limits<float>::quiet_NaN();
      std::vector<int8_t> y(x.size());
      kernels().quantize_q8(x.get(), n, scale, zero, y.data());
      kernels().dequantize_q8(y.data(), n, scale, zero, back.get());
      EXPECT_EQ(y[0], -128);
      for (size_t i = 1; i < x.size(); ++i) {
        const float level = std::nearbyint(x[i] / scale) + static_cast<float>(zero);
        ASSERT_EQ(y[i], static_cast<int8_t>(std::clamp(level, -128.0f, 127.0f)));
        ASSERT_EQ(back[i], static_cast<float>(y[i] - zero) * scale);
      }
    }
  }
}

TEST_P(Quantized, RowsAreWithinHalfAStepOfTheirScale) {
  Random random(8);
  for (const int64_t columns : {1, 3, 16, 33, 200}) {
    const int64_t rows = 7;
    Buffer x(rows * columns), scale(rows), back(rows * columns);
    std::vector<int8_t> codes(x.size());
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = random.real() * std::pow(10.0f, static_cast<float>(i / static_cast<size_t>(columns)));
    }
    kernels().encode_rows(x.get(), rows, columns, codes.data(), scale.get());
    kernels().decode_rows(codes.data(), scale.get(), rows, columns, columns, back.get());
    for (size_t r = 0; r < static_cast<size_t>(rows); ++r) {
      const size_t n = static_cast<size_t>(columns), first = r * n;
      float most = 0;
      for (size_t i = first; i < first + n; ++i) most = std::max(most, std::abs(x[i]));
      ASSERT_EQ(scale[r], most / 127);
      for (size_t i = first; i < first + n; ++i) {
        ASSERT_NEAR(back[i], x[i], 0.50001f * scale[r]);
        ASSERT_LE(std::abs(int{codes[i]}), 127);
      }
    }
    const int64_t some = (columns + 1) / 2;
    Buffer part(rows * some);
    kernels().decode_rows(codes.data(), scale.get(), rows, some, columns, part.get());
    for (size_t i = 0; i < part.size(); ++i) {
      const size_t r = i / static_cast<size_t>(some), c = i % static_cast<size_t>(some);
      ASSERT_EQ(part[i], back[r * static_cast<size_t>(columns) + c]);
    }
  }
}

TEST_P(Quantized, RowsRoundTiesToEvenAndKeepWhatIsNoNumber) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float x[]{127, 0.5f, 1.5f, -2.5f, 1e-38f, -1e-38f, 0, 0, 1, nan, 2, 3, 1, -kInfinity, 2, 3};
  int8_t codes[16];
  float scale[4], back[16];
  kernels().encode_rows(x, 4, 4, codes, scale);
  kernels().decode_rows(codes, scale, 4, 4, 4, back);
  EXPECT_EQ(std::vector<int8_t>(codes, codes + 4), (std::vector<int8_t>{127, 0, 2, -2}));
  for (size_t i = 4; i < 8; ++i) EXPECT_EQ(back[i], 0.0f);
  for (size_t i = 8; i < 16; ++i) EXPECT_TRUE(std::isnan(back[i])) << i;
}

TEST_P(Quantized, MaskIsWhereNoLimitWasReached) {
  Random random(7);
  for (const int64_t n : {1, 8, 63, 64, 200}) {
    const auto y = levels(random, n);
    std::vector<uint8_t> mask(static_cast<size_t>(n + 7) / 8, 0xff);
    kernels().mask_q8(y.data(), n, -128, 50, mask.data());
    for (size_t i = 0; i < mask.size() * 8; ++i) {
      const bool inside = i < y.size() && y[i] > -128 && y[i] < 50;
      ASSERT_EQ(mask[i / 8] >> (i % 8) & 1, inside ? 1 : 0) << i << " of " << n;
    }
  }
}

TEST_P(Quantized, UpdateMovesWeightsByTheirGradientOverTheirScale) {
  Random random(8);
  const std::vector<float> scale{0.01f, 0.5f, 0.0f, 1e-40f};
  const std::vector<int8_t> start{0, 100, -100, 5, 127, -127, 7, 9};
  const Buffer g = random.buffer(8);
  for (const int32_t qas : {0, 1}) {
    std::vector<int8_t> p = start;
    const tt_integer_step step{.rate = 0.3f, .grad_scale = 2.0f, .qas = qas, .stochastic = 0};
    kernels().sgd_q8(p.data(), g.get(), scale.data(), 2, 4, 0, &step);
    for (size_t i = 0; i < p.size(); ++i) {
      const float s = scale[i % 4];
      const float moved = i % 4 >= 2
                              ? static_cast<float>(start[i])
                              : static_cast<float>(start[i]) - 0.6f * g[i] * (qas != 0 ? 1 / s : s);
      EXPECT_EQ(p[i], static_cast<int8_t>(std::clamp(std::nearbyint(moved), -127.0f, 127.0f)));
    }
  }
}

TEST_P(Quantized, UpdateMovesBiasesAndSaturates) {
  const std::vector<float> scale{0.01f, 0.5f, 0.0f};
  const std::vector<float> g{-1.0f, 1.0f, 1.0f};
  const tt_integer_step step{.rate = 1.0f, .grad_scale = 1.0f, .qas = 1, .stochastic = 0};
  std::vector<int32_t> p{INT32_MAX - 3, INT32_MIN, 17};
  kernels().sgd_i32(p.data(), g.data(), scale.data(), 0.1f, 3, &step);
  EXPECT_EQ(p, (std::vector<int32_t>{INT32_MAX, INT32_MIN, 17}));
  p = {1000, 16777217, 17};
  kernels().sgd_i32(p.data(), g.data(), scale.data(), 0.1f, 3, &step);
  EXPECT_EQ(p, (std::vector<int32_t>{2000, 16777197, 17}));
}

TEST_P(Quantized, NanInAGradientMovesNothing) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), scale = 1.0f;
  const tt_integer_step step{.rate = 1.0f, .grad_scale = 1.0f, .qas = 1, .stochastic = 1};
  int8_t p = 5;
  int32_t b = 6;
  kernels().sgd_q8(&p, &nan, &scale, 1, 1, 0, &step);
  kernels().sgd_i32(&b, &nan, &scale, 1.0f, 1, &step);
  EXPECT_EQ(p, 5);
  EXPECT_EQ(b, 6);
}

// A step of a tenth of a level is lost by rounding to the nearest, and kept on average at random.
TEST_P(Quantized, RandomRoundingKeepsSmallStepsOnAverage) {
  Random random(9);
  constexpr int64_t kCount = 10000;
  std::vector<int8_t> p(kCount, 10);
  Buffer g(kCount);
  for (size_t i = 0; i < g.size(); ++i) g[i] = 0.1f + 1e-4f * random.real();
  const float scale = 1.0f;
  tt_integer_step step{.rate = 1.0f, .grad_scale = 1.0f, .qas = 1, .stochastic = 0};
  kernels().sgd_q8(p.data(), g.get(), &scale, kCount, 1, 0, &step);
  EXPECT_EQ(std::count(p.begin(), p.end(), 10), kCount);
  step.stochastic = 1;
  kernels().sgd_q8(p.data(), g.get(), &scale, kCount, 1, 0, &step);
  const double moved = static_cast<double>(std::count(p.begin(), p.end(), 9)) / kCount;
  EXPECT_EQ(std::count(p.begin(), p.end(), 10) + std::count(p.begin(), p.end(), 9), kCount);
  EXPECT_NEAR(moved, 0.1, 0.015);  // five standard deviations
}

}  // namespace
}  // namespace tinytl

// Reductions, softmax and layer norm of every kernel set against their definitions in double.

#include <algorithm>
#include <functional>

#include "tests/kernels/support.h"

namespace tinytl {
namespace {

using Norm = Kernels;

INSTANTIATE_TEST_SUITE_P(Sets, Norm, testing::ValuesIn(all_kernel_sets()),
                         [](const auto& test) { return std::string(test.param->name); });

constexpr int64_t kLengths[] = {1, 2, 7, 8, 15, 16, 17, 31, 64, 65, 100, 256, 1000, 5003};

TEST_P(Norm, ReductionsAreTheirSums) {
  Random random(1);
  for (const int64_t n : kLengths) {
    const Buffer x = random.buffer(n);
    double sum = 0, squares = 0, powers = 0, size = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double v = double{x[i]} - 0.25;
      sum += v;
      size += std::abs(v);
      squares += v * v;
      powers += std::exp(v);
    }
    EXPECT_NEAR(kernels().reduce(TT_SUM, x.get(), n, 0.25f), sum, 1e-6 * size);
    EXPECT_NEAR(kernels().reduce(TT_SUM_SQUARES, x.get(), n, 0.25f), squares, 1e-6 * squares);
    EXPECT_NEAR(kernels().reduce(TT_SUM_EXP, x.get(), n, 0.25f), powers, 1e-6 * powers);
    EXPECT_EQ(kernels().reduce(TT_MAX, x.get(), n, 0.0f), *std::max_element(x.get(), x.get() + n));
  }
  EXPECT_EQ(kernels().reduce(TT_SUM, nullptr, 0, 0.0f), 0.0f);
}

TEST_P(Norm, LongSumsKeepTheirDigits) {
  constexpr int64_t kN = 1'000'003;
  Buffer x(kN);
  std::fill_n(x.get(), kN, 0.1f);
  const double want = double{0.1f} * kN;
  EXPECT_NEAR(kernels().reduce(TT_SUM, x.get(), kN, 0.0f), want, 1e-5 * want);
}

// y = softmax(x) or its logarithm, in double.
std::vector<double> softmax(const Buffer& x, int64_t n, int64_t step, bool is_log) {
  double top = double{x[0]}, sum = 0;
  for (int64_t i = 0; i < n; ++i) top = std::max(top, double{x.get()[i * step]});
  for (int64_t i = 0; i < n; ++i) sum += std::exp(double{x.get()[i * step]} - top);
  std::vector<double> y;
  for (int64_t i = 0; i < n; ++i) {
    const double v = double{x.get()[i * step]} - top;
    y.push_back(is_log ? v - std::log(sum) : std::exp(v) / sum);
  }
  return y;
}

TEST_P(Norm, SoftmaxAndItsGradient) {
  Random random(2);
  for (const int64_t n : kLengths) {
    for (const int64_t step : {1, 3}) {
      for (const int32_t is_log : {0, 1}) {
        SCOPED_TRACE(std::to_string(n) + " by " + std::to_string(step) + (is_log ? " log" : ""));
        Buffer x = random.buffer(n * step);
        for (size_t i = 0; i < x.size(); ++i) x[i] *= 20.0f;
        const Buffer dy = random.buffer(n * step);
        const auto want = softmax(x, n, step, is_log != 0);
        Buffer y = x, dx = dy, over_y = x;
        kernels().softmax(x.get(), n, step, is_log, y.get());
        kernels().softmax(over_y.get(), n, step, is_log, over_y.get());
        EXPECT_TRUE(y == over_y);
        kernels().softmax_grad(dy.get(), y.get(), n, step, is_log, dx.get());
        kernels().softmax_grad(dy.get(), over_y.get(), n, step, is_log, over_y.get());
        EXPECT_EQ(dx[0], over_y[0]);
        double sum = 0, size = 0;
        for (int64_t i = 0; i < n; ++i) {
          const double w = is_log ? 1 : want[static_cast<size_t>(i)];
          sum += double{dy.get()[i * step]} * w;
          size += std::abs(double{dy.get()[i * step]} * w);
        }
        for (int64_t i = 0; i < n; ++i) {
          const double v = want[static_cast<size_t>(i)], g = double{dy.get()[i * step]};
          ASSERT_NEAR(y.get()[i * step], v,
                      (is_log ? 1e-6 : 4e-6) * std::abs(v) + 1e-6 * is_log + 1e-37);
          const double grad = is_log ? g - std::exp(v) * sum : v * (g - sum);
          ASSERT_NEAR(dx.get()[i * step], grad, 4e-6 * (1 + size));
        }
      }
    }
  }
}

TEST_P(Norm, SoftmaxOfExtremeNumbers) {
  Buffer x(20), y(20);
  for (size_t i = 0; i < 20; ++i)
    x[i] = i < 2 ? 1e30f : i < 10 ? -1e30f : -std::numeric_limits<float>::infinity();
  kernels().softmax(x.get(), 20, 1, 0, y.get());
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(y[i], i < 2 ? 0.5f : 0.0f);
  x[13] = Buffer::kUnwritten;
  kernels().softmax(x.get(), 20, 1, 0, y.get());
  for (size_t i = 0; i < 20; ++i) EXPECT_TRUE(std::isnan(y[i]));
}

TEST_P(Norm, LayerNormAndItsGradients) {
  Random random(3);
  constexpr float kEpsilon = 1e-5f;
  for (const int64_t n : {2, 7, 16, 33, 64, 100, 256, 777}) {
    for (const int64_t rows : {1, 3}) {
      SCOPED_TRACE(std::to_string(rows) + " rows of " + std::to_string(n));
      Buffer x = random.buffer(rows * n);
      for (size_t i = 0; i < x.size(); ++i) x[i] = x[i] * 3.0f + 5.0f;
      const Buffer dy = random.buffer(rows * n), scale = random.buffer(n), bias = random.buffer(n);
      Buffer y(rows * n), dx(rows * n), dscale(n), over_x = x, over_dy = dy;
      kernels().layer_norm(x.get(), rows, n, scale.get(), bias.get(), kEpsilon, y.get());
      kernels().layer_norm(over_x.get(), rows, n, scale.get(), bias.get(), kEpsilon, over_x.get());
      kernels().layer_norm_grad_input(dy.get(), x.get(), rows, n, scale.get(), kEpsilon, dx.get());
      kernels().layer_norm_grad_input(over_dy.get(), x.get(), rows, n, scale.get(), kEpsilon,
                                      over_dy.get());
      kernels().layer_norm_grad_scale(dy.get(), x.get(), rows, n, kEpsilon, dscale.get());
      EXPECT_TRUE(y == over_x);
      EXPECT_TRUE(dx == over_dy);
      std::vector<double> want_scale(static_cast<size_t>(n));
      for (int64_t r = 0; r < rows; ++r) {
        const auto at = [&](const Buffer& b, int64_t i) { return double{b.get()[r * n + i]}; };
        const auto mean = [&](const std::function<double(int64_t)>& f) {
          double sum = 0;
          for (int64_t i = 0; i < n; ++i) sum += f(i);
          return sum / static_cast<double>(n);
        };
        const double m = mean([&](int64_t i) { return at(x, i); });
        const double v = mean([&](int64_t i) { return (at(x, i) - m) * (at(x, i) - m); });
        const double inverse = 1 / std::sqrt(v + double{kEpsilon});
        const auto normal = [&](int64_t i) { return (at(x, i) - m) * inverse; };
        const auto g = [&](int64_t i) { return at(dy, i) * double{scale.get()[i]}; };
        const double mean_g = mean(g), mean_gn = mean([&](int64_t i) { return g(i) * normal(i); });
        for (int64_t i = 0; i < n; ++i) {
          ASSERT_NEAR(at(y, i), normal(i) * scale.get()[i] + bias.get()[i], 4e-6 * (1 + inverse));
          ASSERT_NEAR(at(dx, i), inverse * (g(i) - mean_g - normal(i) * mean_gn),
                      4e-6 * (1 + inverse * inverse));
          want_scale[static_cast<size_t>(i)] += at(dy, i) * normal(i);
        }
      }
      for (size_t i = 0; i < dscale.size(); ++i) ASSERT_NEAR(dscale[i], want_scale[i], 2e-5);
    }
  }
}

// Group norm and its gradients of one group of one sample, in double, for test data x and dy.
struct GroupReference {
  const tt_group_norm& s;
  const Buffer &x, &dy, &scale, &bias;
  int64_t sample, group;
  double mean = 0, variance = 0, inverse = 0, mean_g = 0, mean_gn = 0;

  size_t at(int64_t pixel, int64_t c) const {
    return static_cast<size_t>((sample * s.pixels + pixel) * s.channels + channel(c));
  }
  int64_t channel(int64_t c) const { return group * s.group + c; }
  double normal(size_t i) const { return (double{x[i]} - mean) * inverse; }
  double g(size_t i, int64_t c) const { return double{dy[i]} * scale.get()[channel(c)]; }
  double average(const std::function<double(size_t, int64_t)>& f) const {
    double sum = 0;
    for (int64_t p = 0; p < s.pixels; ++p) {
      for (int64_t c = 0; c < s.group; ++c) sum += f(at(p, c), c);
    }
    return sum / static_cast<double>(s.pixels * s.group);
  }
  void compute() {
    mean = average([&](size_t i, int64_t) { return double{x[i]}; });
    variance = average([&](size_t i, int64_t) { return std::pow(double{x[i]} - mean, 2); });
    inverse = 1 / std::sqrt(variance + double{s.epsilon});
    mean_g = average([&](size_t i, int64_t c) { return g(i, c); });
    mean_gn = average([&](size_t i, int64_t c) { return g(i, c) * normal(i); });
  }
  double y(size_t i, int64_t c) const {
    return normal(i) * scale.get()[channel(c)] + bias.get()[channel(c)];
  }
  double dx(size_t i, int64_t c) const {
    return inverse * (g(i, c) - mean_g - normal(i) * mean_gn);
  }
};

// Strips, whole and in part; groups within one strip and over several; many pixels.
TEST_P(Norm, GroupNormAndItsGradients) {
  struct Case {
    int64_t samples, pixels;
    int32_t channels, group;
  };
  Random random(4);
  for (const Case& c : {Case{2, 9, 8, 8}, Case{1, 1, 24, 8}, Case{3, 7, 5, 1}, Case{2, 300, 40, 8},
                        Case{1, 49, 144, 8}, Case{2, 6, 200, 100}, Case{1, 4, 130, 130},
                        Case{2, 1000, 3, 3}, Case{2, 5, 96, 48}, Case{1, 10000, 17, 1}}) {
    SCOPED_TRACE(std::to_string(c.pixels) + " pixels, " + std::to_string(c.channels) + " by " +
                 std::to_string(c.group));
    const tt_group_norm s{c.pixels, c.channels, c.group, 1e-3f};
    const int64_t n = c.samples * c.pixels * c.channels, of_sample = c.channels / c.group;
    const int64_t groups = c.samples * of_sample;
    Buffer x = random.buffer(n);
    for (size_t i = 0; i < x.size(); ++i) x[i] = x[i] * 3.0f + 5.0f;
    const Buffer dy = random.buffer(n);
    const Buffer scale = random.buffer(c.channels), bias = random.buffer(c.channels);
    Buffer y(n), dx(n), dscale(c.channels), moments(2 * groups), over_x = x, over_dy = dy;
    const auto norm = [&](int64_t first, int64_t last, const Buffer& from, Buffer* to) {
      kernels().group_norm(&s, first, last, from.get(), scale.get(), bias.get(), moments.get(),
                           to->get());
    };
    norm(0, groups, x, &y);
    norm(0, groups / 2, over_x, &over_x);  // in parts, and in place
    norm(groups / 2, groups, over_x, &over_x);
    EXPECT_TRUE(y == over_x);
    kernels().group_norm_grad_input(&s, 0, groups, dy.get(), x.get(), scale.get(), dx.get());
    for (const auto& [first, last] : {std::pair{int64_t{0}, groups / 3}, {groups / 3, groups}}) {
      kernels().group_norm_grad_input(&s, first, last, over_dy.get(), x.get(), scale.get(),
                                      over_dy.get());
    }
    EXPECT_TRUE(dx == over_dy);
    kernels().group_norm_grad_scale(&s, c.samples, 0, of_sample, dy.get(), x.get(), dscale.get());

    std::vector<double> want_scale(dscale.size());
    for (int64_t g = 0; g < groups; ++g) {
      GroupReference want{s, x, dy, scale, bias, g / of_sample, g % of_sample};
      want.compute();
      ASSERT_NEAR(moments.get()[2 * g], want.mean, 1e-6 * std::abs(want.mean));
      ASSERT_NEAR(moments.get()[2 * g + 1], want.variance, 4e-6 * want.variance + 1e-9);
      const double tolerance = 4e-6 * (1 + want.inverse);
      for (int64_t p = 0; p < s.pixels; ++p) {
        for (int64_t k = 0; k < s.group; ++k) {
          const size_t i = want.at(p, k);
          ASSERT_NEAR(y[i], want.y(i, k), tolerance);
          ASSERT_NEAR(dx[i], want.dx(i, k), tolerance * (1 + want.inverse));
          want_scale[static_cast<size_t>(want.channel(k))] += double{dy[i]} * want.normal(i);
        }
      }
    }
    for (size_t i = 0; i < dscale.size(); ++i) {
      ASSERT_NEAR(dscale[i], want_scale[i],
                  2e-6 * static_cast<double>(c.samples * c.pixels) + 2e-5);
    }
  }
}

// Mean 1000, deviation 1, and a first pixel far off: neither may cost the variance its digits.
TEST_P(Norm, GroupNormKeepsItsDigitsFarFromZero) {
  Random random(5);
  constexpr int32_t kChannels = 16;
  constexpr int64_t kPixels = 3000;
  const tt_group_norm s{kPixels, kChannels, 8, 1e-5f};
  Buffer x = random.buffer(kPixels * kChannels), y(kPixels * kChannels), moments(4);
  Buffer ones(kChannels), zeros(kChannels);
  for (size_t i = 0; i < kChannels; ++i) ones[i] = 1.0f, zeros[i] = 0.0f;
  for (size_t i = 0; i < x.size(); ++i) x[i] = 1000.0f + x[i] - (i < 8 ? 50.0f : 0.0f);
  kernels().group_norm(&s, 0, 2, x.get(), ones.get(), zeros.get(), moments.get(), y.get());
  for (int64_t g = 0; g < 2; ++g) {
    GroupReference want{s, x, /*dy=*/x, ones, zeros, 0, g};
    want.compute();
    EXPECT_NEAR(moments.get()[2 * g], want.mean, 1e-4);
    EXPECT_NEAR(moments.get()[2 * g + 1], want.variance, 1e-5 * want.variance);
  }
}

}  // namespace
}  // namespace tinytl

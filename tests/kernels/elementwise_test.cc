// Elementwise kernels, column sums and optimizers of every kernel set. What involves no sum must
// have the bits of the formula in kernels.h, so these comparisons are exact.

#include "tests/kernels/support.h"

namespace tinytl {
namespace {

using Elementwise = Kernels;

INSTANTIATE_TEST_SUITE_P(Sets, Elementwise, testing::ValuesIn(all_kernel_sets()),
                         [](const auto& test) { return std::string(test.param->name); });

constexpr int64_t kSizes[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 63, 64, 65, 128, 200, 1001};
constexpr float kInfinity = std::numeric_limits<float>::infinity();

bool bit(const std::vector<uint8_t>& mask, size_t i) { return mask[i / 8] >> (i % 8) & 1; }

// Random values, with the bounds themselves among them.
Buffer values(Random& random, int64_t n, float low, float high) {
  Buffer x = random.buffer(n);
  for (size_t i = 0; i < x.size(); ++i) {
    if (random.integer(0, 4) == 0) x[i] = random.pick({low, high == kInfinity ? 1.0f : high});
  }
  return x;
}

TEST_P(Elementwise, ClipKeepsValuesBetweenItsBounds) {
  Random random(1);
  for (const int64_t n : kSizes) {
    for (const float high : {0.5f, kInfinity}) {
      const Buffer x = values(random, n, 0.0f, high);
      Buffer y(n), in_place = x;
      kernels().clip(x.get(), n, 0.0f, high, y.get());
      kernels().clip(in_place.get(), n, 0.0f, high, in_place.get());
      for (size_t i = 0; i < x.size(); ++i) {
        ASSERT_EQ(y[i], std::min(std::max(x[i], 0.0f), high)) << i << " of " << n;
      }
      EXPECT_TRUE(y == in_place);
    }
  }
}

TEST_P(Elementwise, ClipLetsNanThrough) {
  Buffer x(21);
  kernels().clip(x.get(), 21, 0.0f, 6.0f, x.get());
  for (size_t i = 0; i < x.size(); ++i) EXPECT_TRUE(std::isnan(x[i]));
}

TEST_P(Elementwise, ClipGradientPassesStrictlyInsideTheBounds) {
  Random random(2);
  for (const int64_t n : kSizes) {
    for (const float high : {0.5f, kInfinity}) {
      const Buffer y = values(random, n, 0.0f, high), dy = random.buffer(n);
      Buffer direct(n), masked(n), in_place = dy;
      std::vector<uint8_t> mask(static_cast<size_t>(n + 7) / 8, 0xff);
      kernels().clip_grad(dy.get(), y.get(), n, 0.0f, high, direct.get());
      kernels().clip_mask(y.get(), n, 0.0f, high, mask.data());
      kernels().mask_apply(dy.get(), mask.data(), n, masked.get());
      kernels().mask_apply(in_place.get(), mask.data(), n, in_place.get());
      for (size_t i = 0; i < y.size(); ++i) {
        const bool inside = 0.0f < y[i] && y[i] < high;
        ASSERT_EQ(bit(mask, i), inside) << i << " of " << n;
        ASSERT_EQ(direct[i], inside ? dy[i] : 0.0f) << i << " of " << n;
      }
      for (size_t i = y.size(); i < mask.size() * 8; ++i) EXPECT_FALSE(bit(mask, i));
      EXPECT_TRUE(direct == masked);
      EXPECT_TRUE(direct == in_place);
    }
  }
}

TEST_P(Elementwise, AddIsExactAndMayOverwriteItsInputs) {
  Random random(3);
  for (const int64_t n : kSizes) {
    const Buffer x = random.buffer(n), y = random.buffer(n);
    Buffer z(n), over_x = x, over_y = y;
    kernels().add(x.get(), y.get(), n, z.get());
    kernels().add(over_x.get(), y.get(), n, over_x.get());
    kernels().add(x.get(), over_y.get(), n, over_y.get());
    for (size_t i = 0; i < z.size(); ++i) ASSERT_EQ(z[i], x[i] + y[i]);
    EXPECT_TRUE(z == over_x);
    EXPECT_TRUE(z == over_y);
  }
}

TEST_P(Elementwise, SumRowsSumsEachColumn) {
  Random random(4);
  for (const int64_t cols : {1, 3, 8, 16, 33, 64, 100, 1000}) {
    for (const int64_t rows : {0, 1, 2, 7, 49, 500}) {
      SCOPED_TRACE(std::to_string(rows) + " rows of " + std::to_string(cols));
      const Buffer x = random.buffer(rows * cols);
      Buffer y(cols);
      Sums want(cols);
      for (int64_t i = 0; i < rows * cols; ++i) want.add(i % cols, x.get()[i]);
      kernels().sum_rows(x.get(), rows, cols, cols, y.get());
      expect_near(y, want);
    }
  }
}

TEST_P(Elementwise, SgdFollowsPyTorch) {
  Random random(5);
  for (const int64_t n : kSizes) {
    for (const float momentum : {0.0f, 0.9f}) {
      for (const int32_t nesterov : {0, 1}) {
        const Buffer start = random.buffer(n), g = random.buffer(n), v0 = random.buffer(n);
        Buffer p = start, v = v0;
        kernels().sgd(p.get(), g.get(), momentum > 0 ? v.get() : nullptr, n, 0.1f, 0.25f, momentum,
                      nesterov, 0.01f);
        for (size_t i = 0; i < p.size(); ++i) {
          double d = 0.25 * g[i] + 0.01f * double{start[i]};
          if (momentum > 0) {
            const double velocity = momentum * double{v0[i]} + d;
            ASSERT_NEAR(v[i], velocity, 1e-6);
            d = nesterov ? d + momentum * velocity : velocity;
          }
          ASSERT_NEAR(p[i], start[i] - 0.1f * d, 1e-6);
        }
      }
    }
  }
}

TEST_P(Elementwise, AdamFollowsPyTorch) {
  Random random(6);
  for (const int64_t n : kSizes) {
    for (const int32_t decoupled : {0, 1}) {
      const Buffer p0 = random.buffer(n), g = random.buffer(n), m0 = random.buffer(n);
      Buffer v0 = random.buffer(n);
      for (size_t i = 0; i < v0.size(); ++i) v0[i] = std::abs(v0[i]);
      Buffer p = p0, m = m0, v = v0;
      const float correction1 = 0.271f, correction2 = 0.002997f;
      kernels().adam(p.get(), g.get(), m.get(), v.get(), n, 0.01f, 0.5f, 0.9f, 0.999f, 1e-8f,
                     correction1, correction2, decoupled, 0.1f);
      for (size_t i = 0; i < p.size(); ++i) {
        const double decay = 0.1 * p0[i];
        const double d = 0.5 * g[i] + (decoupled ? 0.0 : decay);
        const double mean = 0.9 * m0[i] + 0.1 * d, square = 0.999 * v0[i] + 0.001 * d * d;
        const double start = p0[i] - (decoupled ? 0.01 * decay : 0.0);
        const double step = 0.01 / correction1 * mean;
        const double size = std::sqrt(square) / std::sqrt(correction2) + 1e-8;
        ASSERT_NEAR(m[i], mean, 1e-6);
        ASSERT_NEAR(v[i], square, 1e-6);
        ASSERT_NEAR(p[i], start - step / size, 2e-6 * (1 + std::abs(step / size)));
      }
    }
  }
}

// A run may move between machines, and each element's result cannot depend on its place.
TEST_P(Elementwise, OptimizersHaveTheBitsOfThePortableOnes) {
  Random random(7);
  constexpr int64_t kN = 203;
  const Buffer p0 = random.buffer(kN), g = random.buffer(kN), m0 = random.buffer(kN);
  Buffer v0 = random.buffer(kN);
  for (size_t i = 0; i < v0.size(); ++i) v0[i] = std::abs(v0[i]);
  const auto run = [&](const tt_kernels& set) {
    Buffer p = p0, m = m0, v = v0, velocity = m0;
    set.adam(p.get(), g.get(), m.get(), v.get(), kN, 0.01f, 0.5f, 0.9f, 0.999f, 1e-8f, 0.271f,
             0.003f, 0, 0.1f);
    set.sgd(p.get(), g.get(), velocity.get(), kN, 0.1f, 0.3f, 0.9f, 1, 0.01f);
    return p;
  };
  EXPECT_TRUE(run(kernels()) == run(tt_portable_kernels));
}

using Codes = std::vector<uint8_t>;

// p, m, v and their scales after some steps of 8-bit Adam with gradients of every size.
struct Adam8State {
  Buffer p, m_scale, v_scale;
  Codes m, v;
};
Adam8State after_adam8(const tt_kernels& set, int64_t n, int steps, int parts) {
  Random random(8);
  const int64_t blocks = (n + TT_ADAM8_BLOCK - 1) / TT_ADAM8_BLOCK;
  Adam8State s{random.buffer(n), Buffer(blocks), Buffer(blocks), Codes(size_t(n)),
               Codes(size_t(n))};
  for (size_t b = 0; b < s.m_scale.size(); ++b) s.m_scale[b] = s.v_scale[b] = 0;
  tt_adam_step step{0.01f, 0.5f, 0.9f, 0.999f, 1e-8f, 1, 1, 0, 0.1f};
  for (int t = 1; t <= steps; ++t) {
    step.correction1 = 1 - static_cast<float>(std::pow(0.9, t));
    step.correction2 = 1 - static_cast<float>(std::pow(0.999, t));
    Buffer g = random.buffer(n);
    for (size_t i = 0; i < g.size(); ++i) g[i] *= std::pow(10.0f, -static_cast<float>(i % 9));
    for (int part = 0; part < parts; ++part) {
      const int64_t first = blocks * part / parts, last = blocks * (part + 1) / parts;
      const int64_t at = first * TT_ADAM8_BLOCK, end = std::min(n, last * TT_ADAM8_BLOCK);
      set.adam8(s.p.get() + at, g.get() + at, s.m.data() + at, s.v.data() + at,
                s.m_scale.get() + first, s.v_scale.get() + first, at, end - at, &step);
    }
  }
  return s;
}

TEST_P(Elementwise, Adam8HasTheBitsOfThePortableOneInAnyParts) {
  for (const int64_t n : {1, 7, 255, 256, 257, 1000}) {
    const Adam8State want = after_adam8(tt_portable_kernels, n, 5, 1);
    for (const int parts : {1, 2, 3}) {
      const Adam8State got = after_adam8(kernels(), n, 5, parts);
      EXPECT_TRUE(got.p == want.p && got.m == want.m && got.v == want.v);
      EXPECT_TRUE(got.m_scale == want.m_scale && got.v_scale == want.v_scale);
    }
  }
}

// From a state of zeros, the code of every average is one of the two around it, as often above as
// it is near.
TEST_P(Elementwise, Adam8RoundsWithoutBias) {
  constexpr int64_t kN = TT_ADAM8_BLOCK;
  constexpr int kTrials = 400;
  for (const float mean : {0.7f, 0.031f, -0.0101f, 1.3e-4f}) {
    double sum = 0;
    for (int trial = 0; trial < kTrials; ++trial) {
      Buffer p(kN), g(kN);
      for (size_t i = 0; i < g.size(); ++i) p[i] = 0, g[i] = mean;
      g[0] = 1;  // the largest
      Codes m(kN), v(kN);
      float m_scale = 0, v_scale = 0;
      const tt_adam_step first{0, 1, 0, 0, 1e-8f, 1, 1.0f / static_cast<float>(trial + 1), 0, 0};
      kernels().adam8(p.get(), g.get(), m.data(), v.data(), &m_scale, &v_scale, 0, kN, &first);
      // beta 1 and no gradient: p moves by the average that was stored.
      const tt_adam_step second{1, 0, 1, 0, 1, 1, 1, 0, 0};
      for (size_t i = 0; i < g.size(); ++i) p[i] = 0;
      kernels().adam8(p.get(), g.get(), m.data(), v.data(), &m_scale, &v_scale, 0, kN, &second);
      for (size_t i = 1; i < p.size(); ++i) {
        ASSERT_NEAR(-p[i], mean, std::abs(mean) / 8 + 1e-5);
        sum -= double{p[i]} / (kN - 1);
      }
    }
    EXPECT_NEAR(sum / kTrials, double{mean}, 0.005 * std::abs(double{mean})) << mean;
  }
}

TEST(BestKernels, AreChosenOnce) { EXPECT_EQ(tt_best_kernels(), tt_best_kernels()); }

TEST(BestKernels, AreTheFirstOfTheVectorSets) {
  EXPECT_STREQ(tt_best_kernels()->name, all_kernel_sets().front()->name);
  EXPECT_EQ(tt_best_kernels()->gemm, all_kernel_sets().front()->gemm);
}

}  // namespace
}  // namespace tinytl

// What layers add to matrix products and convolutions, in every kernel set: the end of a result,
// weights of 8 bits, scaled and accumulated gradients, and parts that are computed apart.
#include <algorithm>

#include "tests/kernels/convolutions.h"

namespace tinytl {
namespace {

class Layers : public Kernels {};

INSTANTIATE_TEST_SUITE_P(Sets, Layers, testing::ValuesIn(all_kernel_sets()),
                         [](const auto& test) { return std::string(test.param->name); });

// Weights of either kind, and the float each of them stands for.
struct Weights {
  Weights(Random& random, int64_t count, int64_t scales)
      : f32(random.buffer(count)), scale(random.buffer(scales)), q8(static_cast<size_t>(count)) {
    for (int8_t& q : q8) q = static_cast<int8_t>(random.integer(-128, 127));
  }
  tt_weights get(bool bytes) const {
    return bytes ? tt_weights{nullptr, q8.data(), scale.get()}
                 : tt_weights{f32.get(), nullptr, nullptr};
  }
  double value(bool bytes, int64_t i, int64_t channel) const {
    return bytes ? double{scale.get()[channel]} * q8[static_cast<size_t>(i)] : f32.get()[i];
  }
  Buffer f32, scale;
  std::vector<int8_t> q8;
};

// An epilogue and its arrays, for `size` elements.
struct End {
  End(Random& random, int64_t size, int64_t channels, bool masks)
      : bias(random.buffer(channels)),
        values(random.buffer(size)),
        inside(static_cast<size_t>((size + 7) / 8), 0xA5),
        keep(inside.size()) {
    for (uint8_t& byte : keep) byte = static_cast<uint8_t>(random.integer(0, 255));
    e.low = -0.5f;
    e.high = random.pick({0.4f, std::numeric_limits<float>::infinity()});
    e.clip = random.integer(0, 1);
    if (random.integer(0, 1) == 1) e.bias = bias.get();
    if (random.integer(0, 2) == 0) e.keep_within = values.get();
    if (!masks) return;
    if (random.integer(0, 1) == 1) e.inside = inside.data();
    if (random.integer(0, 1) == 1) e.keep = keep.data();
  }

  // Element i of the result, from the definition; `y` has its bias.
  float value(float y, int64_t i, std::vector<uint8_t>& mask) const {
    if (e.clip && y < e.low) y = e.low;
    if (e.clip && y > e.high) y = e.high;
    const auto byte = static_cast<size_t>(i / 8);
    const int bit = 1 << (i % 8);
    if (e.inside) {
      mask[byte] =
          static_cast<uint8_t>(e.low < y && y < e.high ? mask[byte] | bit : mask[byte] & ~bit);
    }
    if (e.keep && !(keep[byte] & bit)) return 0.0f;
    if (e.keep_within && !(e.low < values.get()[i] && values.get()[i] < e.high)) return 0.0f;
    return y;
  }

  tt_epilogue e{};
  Buffer bias, values;
  std::vector<uint8_t> inside, keep;
};

bool same(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

struct GemmData {
  // Row steps with gaps, which are whole bytes of masks.
  GemmData(Random& random, int32_t m, int32_t n, int32_t k, bool b_transposed, bool bytes,
           int32_t gap)
      : a(random.buffer(int64_t{m} * k)),
        b(random, int64_t{n + gap} * (k + gap), b_transposed ? k : n),
        c(random.buffer(int64_t{m} * (n + gap))) {
    g.m = m;
    g.n = n;
    g.k = k;
    g.a = a.get();
    g.a_row = k;
    g.a_col = 1;
    g.b = b.get(bytes);
    g.b_row = b_transposed ? 1 : n + gap;
    g.b_col = b_transposed ? k + gap : 1;
    g.scale_by_row = b_transposed;
    g.factor = 1;
    g.c_row = n + gap;
  }
  double product(bool bytes, int64_t i, int64_t j, int64_t k) const {
    const int64_t at = k * g.b_row + j * g.b_col;
    return double{a.get()[i * g.a_row + k]} * b.value(bytes, at, g.scale_by_row ? k : j);
  }
  Buffer a;
  Weights b;
  Buffer c;
  tt_gemm g{};
};

Buffer run_gemm(const tt_kernels& kernels, tt_gemm g, const Buffer& start) {
  Buffer c = start, scratch = scratch_of(kernels.gemm_scratch_bytes(&g));
  g.c = c.get();
  kernels.gemm(&g, scratch.get());
  return c;
}

// To the bit: an end changes nothing but what it is there for.
TEST_P(Layers, ProductsEndAsDefined) {
  Random random(11);
  for (int trial = 0; trial < 400 && !HasFailure(); ++trial) {
    const bool masks = random.integer(0, 2) > 0, bytes = random.integer(0, 2) == 0;
    const int32_t n = masks ? 8 * random.integer(1, 20) : random.integer(1, 160);
    GemmData t(random, random.integer(1, 40), n, random.integer(1, 256), random.integer(0, 1) == 1,
               bytes, masks ? random.pick({0, 8}) : random.pick({0, 3}));
    if (trial % 10 == 0) t.a[0] = std::numeric_limits<float>::quiet_NaN();
    tt_gemm g = t.g;
    g.factor = random.pick({1.0f, 0.375f, 0.3f});
    const Buffer product = run_gemm(kernels(), g, t.c);
    End end(random, g.m * g.c_row, n, masks);
    g.epilogue = end.e;
    g.accumulate = random.integer(0, 1);
    Buffer want = t.c;
    std::vector<uint8_t> mask = end.inside;
    for (int64_t i = 0; i < g.m; ++i) {
      for (int64_t j = 0; j < n; ++j) {
        const int64_t at = i * g.c_row + j;
        float y = product.get()[at];
        if (end.e.bias) y += end.e.bias[j];
        if (g.accumulate) y += t.c.get()[at];
        want.get()[at] = end.value(y, at, mask);
      }
    }
    const Buffer got = run_gemm(kernels(), g, t.c);
    for (size_t i = 0; i < got.size(); ++i) ASSERT_TRUE(same(got[i], want[i])) << i;
    EXPECT_EQ(end.inside, mask);
  }
}

// Within 2e-6 of the magnitudes of the sum, as products of floats are.
TEST_P(Layers, ProductsWithWeightsOfBytes) {
  Random random(12);
  for (int trial = 0; trial < 200 && !HasFatalFailure(); ++trial) {
    const int32_t n = random.pick({random.integer(1, 33), random.integer(1, 300)});
    const bool transposed = random.integer(0, 1) == 1;
    const GemmData t(random, random.pick({1, random.integer(1, 40)}), n, random.integer(0, 300),
                     transposed, true, random.pick({0, 3}));
    Sums want(static_cast<int64_t>(t.c.size()));
    for (size_t i = 0; i < t.c.size(); ++i) {
      const int64_t row = static_cast<int64_t>(i) / t.g.c_row,
                    col = static_cast<int64_t>(i) % t.g.c_row;
      if (col >= n) want.add(static_cast<int64_t>(i), t.c[i]);
      for (int64_t k = 0; col < n && k < t.g.k; ++k) {
        want.add(static_cast<int64_t>(i), t.product(true, row, col, k));
      }
    }
    SCOPED_TRACE(std::to_string(t.g.m) + " " + std::to_string(n) + " " + std::to_string(t.g.k) +
                 (transposed ? " transposed" : ""));
    expect_near(run_gemm(kernels(), t.g, t.c), want);
  }
}

// Parts as threads compute them: the same bits, and no more scratch.
TEST_P(Layers, PartsOfProductsAreTheWhole) {
  Random random(13);
  for (int trial = 0; trial < 60 && !HasFailure(); ++trial) {
    const int32_t m = random.integer(1, 80), n = 8 * random.integer(1, 40);
    const bool bytes = random.integer(0, 1) == 1, rows = random.integer(0, 1) == 1;
    GemmData t(random, m, n, random.integer(1, 600), random.integer(0, 1) == 1, bytes, 0);
    End end(random, int64_t{m} * n, n, true), part_end = end;
    t.g.epilogue = end.e;
    t.g.accumulate = random.integer(0, 1);
    const Buffer whole = run_gemm(kernels(), t.g, t.c);
    Buffer parts = t.c, scratch = scratch_of(kernels().gemm_scratch_bytes(&t.g));
    const int32_t total = rows ? m : n, step = rows ? random.pick({1, 24}) : random.pick({16, 64});
    for (int32_t from = 0; from < total; from += step) {
      tt_gemm g = t.g;
      const int64_t shift = rows ? int64_t{from} * n : from;
      (rows ? g.m : g.n) = std::min(step, total - from);
      g.c = parts.get() + shift;
      if (rows) {
        g.a += from * g.a_row;
      } else {
        if (bytes) g.b.q8 += from * g.b_col;
        if (!bytes) g.b.f32 += from * g.b_col;
        if (bytes && !g.scale_by_row) g.b.scale += from;
        if (g.epilogue.bias) g.epilogue.bias += from;
      }
      if (g.epilogue.inside) g.epilogue.inside = part_end.inside.data() + shift / 8;
      if (g.epilogue.keep) g.epilogue.keep += shift / 8;
      if (g.epilogue.keep_within) g.epilogue.keep_within += shift;
      ASSERT_LE(kernels().gemm_scratch_bytes(&g), kernels().gemm_scratch_bytes(&t.g));
      kernels().gemm(&g, scratch.get());
    }
    EXPECT_TRUE(parts == whole) << "m " << m << " n " << n << " k " << t.g.k;
    EXPECT_EQ(part_end.inside, end.inside);
  }
}

// Groups need not be whole bytes of a mask, all channels do.
tt_conv2d_shape shape_with_masks(Random& random) {
  tt_conv2d_shape s = random_shape(random, false);
  s.groups = random.pick({1, 2, 6});
  s.in_c = s.groups * random.pick({4, 8, 12, 24}) * (s.groups == 1 ? 2 : 1);
  s.out_c = s.groups * random.pick({4, 8, 12, 24}) * (s.groups == 1 ? 2 : 1);
  return s;
}

int64_t in_size(const tt_conv2d_shape& s) { return int64_t{s.batch} * s.in_h * s.in_w * s.in_c; }
int64_t out_size(const tt_conv2d_shape& s) {
  return int64_t{s.batch} * s.out_h * s.out_w * s.out_c;
}
int64_t weight_count(const tt_conv2d_shape& s) {
  return int64_t{s.kernel_h} * s.kernel_w * (s.in_c / s.groups) * s.out_c;
}

Buffer run_forward(const tt_kernels& kernels, const tt_conv2d_shape& s, const Buffer& x,
                   const tt_weights& w, const tt_epilogue& e) {
  Buffer y(out_size(s)), scratch = scratch_of(kernels.conv2d_scratch_bytes(&s, w.f32 == nullptr));
  kernels.conv2d(&s, x.get(), &w, &e, y.get(), scratch.get());
  return y;
}

Buffer run_grad_input(const tt_kernels& kernels, const tt_conv2d_shape& s, const Buffer& dy,
                      const tt_weights& w, const tt_epilogue& e) {
  Buffer dx(in_size(s));
  Buffer scratch = scratch_of(kernels.conv2d_grad_input_scratch_bytes(&s, w.f32 == nullptr));
  kernels.conv2d_grad_input(&s, dy.get(), &w, &e, dx.get(), scratch.get());
  return dx;
}

void expect_end(const Buffer& plain, const End& end, const std::vector<uint8_t>& start,
                const Buffer& got) {
  std::vector<uint8_t> mask = start;
  for (size_t i = 0; i < plain.size(); ++i) {
    ASSERT_TRUE(same(got[i], end.value(plain[i], static_cast<int64_t>(i), mask))) << i;
  }
  EXPECT_EQ(end.inside, mask);
}

TEST_P(Layers, ConvolutionsEndAsDefined) {
  Random random(14);
  for (int trial = 0; trial < 120 && !HasFailure(); ++trial) {
    const bool masks = random.integer(0, 2) > 0, bytes = random.integer(0, 1) == 1;
    const tt_conv2d_shape s = masks ? shape_with_masks(random) : random_shape(random, false);
    SCOPED_TRACE(text(s));
    const Buffer x = random.buffer(in_size(s)), dy = random.buffer(out_size(s));
    const Weights weights(random, weight_count(s), s.out_c);
    const tt_weights w = weights.get(bytes);
    const End forward(random, out_size(s), s.out_c, masks);
    const End backward(random, in_size(s), s.in_c, masks);
    tt_epilogue only_bias{};
    only_bias.bias = forward.e.bias;
    const std::vector<uint8_t> y_mask = forward.inside, dx_mask = backward.inside;
    expect_end(run_forward(kernels(), s, x, w, only_bias), forward, y_mask,
               run_forward(kernels(), s, x, w, forward.e));
    tt_epilogue end = backward.e;
    end.bias = nullptr;
    expect_end(run_grad_input(kernels(), s, dy, w, {}), backward, dx_mask,
               run_grad_input(kernels(), s, dy, w, end));
  }
}

TEST_P(Layers, ConvolutionsWithWeightsOfBytes) {
  Random random(15);
  for (int trial = 0; trial < 80 && !HasFatalFailure(); ++trial) {
    const tt_conv2d_shape s = random_shape(random, false);
    SCOPED_TRACE(text(s));
    const Buffer x = random.buffer(in_size(s)), dy = random.buffer(out_size(s));
    const Weights w(random, weight_count(s), s.out_c);
    Sums y(out_size(s)), dx(in_size(s));
    for_each_product(s, [&](int64_t xi, int64_t wi, int64_t yi) {
      const double weight = w.value(true, wi, yi % s.out_c);
      y.add(yi, x.get()[xi] * weight);
      dx.add(xi, dy.get()[yi] * weight);
    });
    expect_near(run_forward(kernels(), s, x, w.get(true), {}), y);
    expect_near(run_grad_input(kernels(), s, dy, w.get(true), {}), dx);
  }
}

Buffer run_grad_weight(const tt_kernels& kernels, tt_conv2d_shape s, const Buffer& x,
                       const Buffer& dy, float factor, bool accumulate, const Buffer& start) {
  Buffer dw = start, scratch = scratch_of(kernels.conv2d_grad_weight_scratch_bytes(&s));
  kernels.conv2d_grad_weight(&s, x.get(), dy.get(), factor, accumulate, dw.get(), scratch.get());
  return dw;
}

TEST_P(Layers, WeightGradientsAreScaledAndAdded) {
  Random random(16);
  for (int trial = 0; trial < 80 && !HasFatalFailure(); ++trial) {
    const tt_conv2d_shape s = random_shape(random, false);
    SCOPED_TRACE(text(s));
    const Buffer x = random.buffer(in_size(s)), dy = random.buffer(out_size(s));
    const Buffer start = random.buffer(weight_count(s));
    const bool accumulate = random.integer(0, 1) == 1;
    const float factor = random.pick({1.0f, -0.3f});
    Sums dw(weight_count(s));
    for (int64_t i = 0; accumulate && i < weight_count(s); ++i) dw.add(i, start.get()[i]);
    for_each_product(s, [&](int64_t xi, int64_t wi, int64_t yi) {
      dw.add(wi, double{factor} * x.get()[xi] * dy.get()[yi]);
    });
    expect_near(run_grad_weight(kernels(), s, x, dy, factor, accumulate, start), dw);
  }
}

// Parts by output channels: the same bits, and no more scratch.
TEST_P(Layers, PartsOfWeightGradientsAreTheWhole) {
  Random random(17);
  for (int trial = 0; trial < 40 && !HasFailure(); ++trial) {
    tt_conv2d_shape s = random_shape(random, false);
    s.groups = 1;
    s.out_c = random.integer(17, 100);
    SCOPED_TRACE(text(s));
    const Buffer x = random.buffer(in_size(s)), dy = random.buffer(out_size(s));
    const Buffer start = random.buffer(weight_count(s));
    const bool accumulate = random.integer(0, 1) == 1;
    const Buffer whole = run_grad_weight(kernels(), s, x, dy, 0.5f, accumulate, start);
    const size_t bytes = kernels().conv2d_grad_weight_scratch_bytes(&s);
    Buffer parts = start, scratch = scratch_of(bytes);
    const int32_t all = s.out_c, step = random.pick({16, 64});
    s.pitch = all;
    for (int32_t from = 0; from < all; from += step) {
      s.out_c = std::min(step, all - from);
      ASSERT_LE(kernels().conv2d_grad_weight_scratch_bytes(&s), bytes);
      kernels().conv2d_grad_weight(&s, x.get(), dy.get() + from, 0.5f, accumulate,
                                   parts.get() + from, scratch.get());
    }
    EXPECT_TRUE(parts == whole);
  }
}

}  // namespace
}  // namespace tinytl

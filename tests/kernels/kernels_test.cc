// Matrix products and convolutions of every kernel set against loops written from the definition.

#include "tests/kernels/convolutions.h"

namespace tinytl {
namespace {

INSTANTIATE_TEST_SUITE_P(Sets, Kernels, testing::ValuesIn(all_kernel_sets()),
                         [](const auto& test) { return std::string(test.param->name); });

struct GemmCase {
  int32_t m, n, k;
  bool a_transposed, b_transposed, bias, accumulate;
  int32_t gap = 0;  // unused elements at the end of each row

  std::string text() const {
    return "m " + std::to_string(m) + " n " + std::to_string(n) + " k " + std::to_string(k) +
           (a_transposed ? " a^T" : "") + (b_transposed ? " b^T" : "") + (bias ? " bias" : "") +
           (accumulate ? " accumulate" : "");
  }
};

int64_t matrix_size(int64_t rows, int64_t cols, int64_t row_step) {
  return rows * cols == 0 ? 0 : (rows - 1) * row_step + cols;
}

void check_gemm(const tt_kernels& kernels, const GemmCase& t, Random& random) {
  SCOPED_TRACE(t.text());
  tt_gemm g{};
  g.m = t.m;
  g.n = t.n;
  g.k = t.k;
  const int64_t a_step = (t.a_transposed ? t.m : t.k) + t.gap;
  const int64_t b_step = (t.b_transposed ? t.k : t.n) + t.gap;
  g.a_row = t.a_transposed ? 1 : a_step;
  g.a_col = t.a_transposed ? a_step : 1;
  g.b_row = t.b_transposed ? 1 : b_step;
  g.b_col = t.b_transposed ? b_step : 1;
  g.c_row = t.n + t.gap;
  g.accumulate = t.accumulate;
  const Buffer a =
      random.buffer(t.a_transposed ? matrix_size(t.k, t.m, a_step) : matrix_size(t.m, t.k, a_step));
  const Buffer b =
      random.buffer(t.b_transposed ? matrix_size(t.n, t.k, b_step) : matrix_size(t.k, t.n, b_step));
  const Buffer bias = random.buffer(t.n);
  Buffer c = random.buffer(matrix_size(t.m, t.n, g.c_row));
  g.a = a.get();
  g.b.f32 = b.get();
  g.factor = 1;
  g.epilogue.bias = t.bias ? bias.get() : nullptr;

  Sums want(static_cast<int64_t>(c.size()));
  for (size_t i = 0; i < c.size(); ++i) {
    const bool in_gap = static_cast<int64_t>(i) % g.c_row >= t.n;
    if (in_gap || t.accumulate) want.add(static_cast<int64_t>(i), c[i]);
    if (!in_gap && !t.accumulate) c[i] = Buffer::kUnwritten;
  }
  for (int64_t i = 0; i < t.m; ++i) {
    for (int64_t j = 0; j < t.n; ++j) {
      const int64_t at = i * g.c_row + j;
      if (t.bias) want.add(at, g.epilogue.bias[j]);
      for (int64_t k = 0; k < t.k; ++k) {
        want.add(at, double{g.a[i * g.a_row + k * g.a_col]} * g.b.f32[k * g.b_row + j * g.b_col]);
      }
    }
  }
  const Buffer start = c;
  for (int run = 0; run < 2; ++run) {  // same arguments, same bits
    Buffer result = start, scratch = scratch_of(kernels.gemm_scratch_bytes(&g));
    g.c = result.get();
    kernels.gemm(&g, scratch.get());
    expect_near(result, want);
    if (run > 0) {
      EXPECT_TRUE(result == c);
    }
    c = result;
  }
}

TEST_P(Kernels, GemmOfRandomShapes) {
  Random random(1);
  for (int trial = 0; trial < 300 && !HasFatalFailure(); ++trial) {
    check_gemm(kernels(),
               {.m = random.integer(1, 50),
                .n = random.pick({random.integer(1, 40), random.integer(1, 160)}),
                .k = random.integer(1, 70),
                .a_transposed = random.integer(0, 1) == 1,
                .b_transposed = random.integer(0, 1) == 1,
                .bias = random.integer(0, 1) == 1,
                .accumulate = random.integer(0, 3) == 0,
                .gap = random.pick({0, 3})},
               random);
  }
}

TEST_P(Kernels, GemmOfSeveralBlocks) {
  Random random(2);
  for (const bool a_transposed : {false, true}) {
    for (const bool b_transposed : {false, true}) {
      check_gemm(kernels(), {205, 33, 600, a_transposed, b_transposed, true, false}, random);
      check_gemm(kernels(), {9, 300, 257, a_transposed, b_transposed, false, true}, random);
      check_gemm(kernels(), {9, 70, 520, a_transposed, b_transposed, true, true}, random);
      check_gemm(kernels(), {3, 8, 5000, a_transposed, b_transposed, false, false}, random);
    }
  }
}

TEST_P(Kernels, GemmOfNothingIsTheBias) {
  Random random(3);
  check_gemm(kernels(), {5, 19, 0, false, false, true, false}, random);
  check_gemm(kernels(), {5, 19, 0, false, true, false, true}, random);
  check_gemm(kernels(), {5, 19, 0, false, false, true, true}, random);
  check_gemm(kernels(), {0, 19, 4, false, false, true, false}, random);
}

// What lets a residual sum be fused without a change of bits.
TEST_P(Kernels, GemmAccumulatesFinishedSums) {
  Random random(9);
  for (int trial = 0; trial < 100 && !HasFailure(); ++trial) {
    const int32_t m = random.integer(1, 30), n = random.integer(1, 150), k = random.integer(1, 256);
    const bool b_transposed = random.integer(0, 1) == 1;
    const Buffer a = random.buffer(m * k), b = random.buffer(k * n), bias = random.buffer(n);
    const Buffer start = random.buffer(m * n);
    Buffer sum = start, product(m * n);
    tt_gemm g{.m = m,
              .n = n,
              .k = k,
              .a = a.get(),
              .a_row = k,
              .a_col = 1,
              .b = {b.get(), nullptr, nullptr},
              .b_row = b_transposed ? 1 : n,
              .b_col = b_transposed ? k : 1,
              .scale_by_row = 0,
              .factor = 1,
              .c = product.get(),
              .c_row = n,
              .accumulate = 0,
              .epilogue = {}};
    g.epilogue.bias = random.integer(0, 1) == 1 ? bias.get() : nullptr;
    Buffer scratch = scratch_of(kernels().gemm_scratch_bytes(&g));
    kernels().gemm(&g, scratch.get());
    kernels().add(product.get(), start.get(), m * n, product.get());
    g.c = sum.get();
    g.accumulate = 1;
    kernels().gemm(&g, scratch.get());
    EXPECT_TRUE(sum == product) << "m " << m << " n " << n << " k " << k;
  }
}

// Micro-batches must not change results.
TEST_P(Kernels, GemmRowsDoNotDependOnTheirNumber) {
  Random random(4);
  constexpr int32_t kM = 61, kN = 37, kK = 300;
  const Buffer a = random.buffer(kM * kK), b = random.buffer(kK * kN);
  tt_gemm g{};
  g.m = kM;
  g.n = kN;
  g.k = kK;
  g.a_row = kK;
  g.a_col = g.b_col = 1;
  g.b_row = g.c_row = kN;
  g.b.f32 = b.get();
  g.factor = 1;
  Buffer scratch = scratch_of(kernels().gemm_scratch_bytes(&g));
  Buffer together(kM * kN), apart(kM * kN);
  g.a = a.get();
  g.c = together.get();
  kernels().gemm(&g, scratch.get());
  g.m = 1;
  for (int32_t i = 0; i < kM; ++i) {
    g.a = a.get() + i * kK;
    g.c = apart.get() + i * kN;
    kernels().gemm(&g, scratch.get());
  }
  EXPECT_TRUE(together == apart);
}

struct ConvArrays {
  ConvArrays(const tt_conv2d_shape& s, Random& random)
      : x(random.buffer(int64_t{s.batch} * s.in_h * s.in_w * s.in_c)),
        w(random.buffer(int64_t{s.kernel_h} * s.kernel_w * (s.in_c / s.groups) * s.out_c)),
        bias(random.buffer(s.out_c)),
        dy(random.buffer(int64_t{s.batch} * s.out_h * s.out_w * s.out_c)) {}
  Buffer x, w, bias, dy;
};

// Runs fn(output) twice on fresh outputs and compares with `want` and with each other.
template <class F>
void check_output(const Sums& want, F&& fn) {
  Buffer first(static_cast<int64_t>(want.value.size())), second = first;
  fn(first.get());
  fn(second.get());
  expect_near(first, want);
  EXPECT_TRUE(first == second) << "two runs differ";
}

void check_forward(const tt_kernels& kernels, const tt_conv2d_shape& s, const ConvArrays& t,
                   bool depthwise, bool with_bias) {
  const float* bias = with_bias ? t.bias.get() : nullptr;
  const tt_weights w{t.w.get(), nullptr, nullptr};
  tt_epilogue epilogue{};
  epilogue.bias = bias;
  Sums y(static_cast<int64_t>(t.dy.size()));
  for (size_t i = 0; bias && i < t.dy.size(); ++i) {
    y.add(static_cast<int64_t>(i), bias[i % static_cast<size_t>(s.out_c)]);
  }
  for_each_product(s, [&](int64_t xi, int64_t wi, int64_t yi) {
    y.add(yi, double{t.x.get()[xi]} * t.w.get()[wi]);
  });
  check_output(y, [&](float* out) {
    if (depthwise) return kernels.depthwise(&s, t.x.get(), &w, &epilogue, out);
    Buffer scratch = scratch_of(kernels.conv2d_scratch_bytes(&s, 0));
    kernels.conv2d(&s, t.x.get(), &w, &epilogue, out, scratch.get());
  });
}

void check_gradients(const tt_kernels& kernels, const tt_conv2d_shape& s, const ConvArrays& t,
                     bool depthwise) {
  const tt_weights w{t.w.get(), nullptr, nullptr};
  Sums dx(static_cast<int64_t>(t.x.size())), dw(static_cast<int64_t>(t.w.size()));
  for_each_product(s, [&](int64_t xi, int64_t wi, int64_t yi) {
    dx.add(xi, double{t.dy.get()[yi]} * t.w.get()[wi]);
    dw.add(wi, double{t.dy.get()[yi]} * t.x.get()[xi]);
  });
  check_output(dx, [&](float* out) {
    if (depthwise) return kernels.depthwise_grad_input(&s, t.dy.get(), &w, nullptr, out);
    Buffer scratch = scratch_of(kernels.conv2d_grad_input_scratch_bytes(&s, 0));
    kernels.conv2d_grad_input(&s, t.dy.get(), &w, nullptr, out, scratch.get());
  });
  check_output(dw, [&](float* out) {
    if (depthwise) return kernels.depthwise_grad_weight(&s, t.x.get(), t.dy.get(), 1, 0, out);
    Buffer scratch = scratch_of(kernels.conv2d_grad_weight_scratch_bytes(&s));
    kernels.conv2d_grad_weight(&s, t.x.get(), t.dy.get(), 1, 0, out, scratch.get());
  });
}

void check_conv(const tt_kernels& kernels, const tt_conv2d_shape& s, bool depthwise,
                Random& random) {
  SCOPED_TRACE(text(s));
  const ConvArrays arrays(s, random);
  check_forward(kernels, s, arrays, depthwise, true);
  check_forward(kernels, s, arrays, depthwise, false);
  check_gradients(kernels, s, arrays, depthwise);
}

TEST_P(Kernels, ConvolutionsOfRandomShapes) {
  Random random(5);
  for (int trial = 0; trial < 120 && !HasFatalFailure(); ++trial) {
    check_conv(kernels(), random_shape(random, false), false, random);
  }
}

TEST_P(Kernels, DepthwiseConvolutionsOfRandomShapes) {
  Random random(6);
  for (int trial = 0; trial < 200 && !HasFatalFailure(); ++trial) {
    check_conv(kernels(), random_shape(random, true), true, random);
  }
}

// Large enough that rows, columns and the summation index are cut into blocks.
TEST_P(Kernels, ConvolutionsOfSeveralBlocks) {
  Random random(7);
  check_conv(kernels(), square(31, 40, 36, 3, 1, 1), false, random);
  check_conv(kernels(), square(48, 3, 32, 3, 2, 1), false, random);
  check_conv(kernels(), square(9, 280, 34, 3, 1, 1), false, random);
  check_conv(kernels(), square(14, 48, 48, 5, 1, 2), false, random);
  check_conv(kernels(), square(13, 70, 150, 1, 1, 1), false, random);
  check_conv(kernels(), square(14, 24, 20, 1, 2, 1), false, random);
}

TEST_P(Kernels, DepthwiseConvolutionsOfMobileNets) {
  Random random(8);
  for (const int32_t stride : {1, 2}) {
    for (const int32_t kernel : {3, 5, 7}) {
      check_conv(kernels(), square(28, 72, 72, kernel, stride, 72), true, random);
      check_conv(kernels(), square(7, 100, 100, kernel, stride, 100), true, random);
    }
  }
}

}  // namespace
}  // namespace tinytl

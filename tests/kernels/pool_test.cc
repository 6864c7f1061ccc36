// Pooling and resizing of every kernel set: the portable kernels against their definitions, the
// others against the bits of the portable ones; parts against the whole.

#include <algorithm>

#include "tests/kernels/support.h"

namespace tinytl {
namespace {

using Pool = Kernels;

INSTANTIATE_TEST_SUITE_P(Sets, Pool, testing::ValuesIn(all_kernel_sets()),
                         [](const auto& test) { return std::string(test.param->name); });

std::string text(const tt_pool_shape& s) {
  return std::to_string(s.batch) + "x" + std::to_string(s.in_h) + "x" + std::to_string(s.in_w) +
         "x" + std::to_string(s.channels) + " kernel " + std::to_string(s.kernel_h) + "x" +
         std::to_string(s.kernel_w) + " stride " + std::to_string(s.stride_h) + "x" +
         std::to_string(s.stride_w) + " pads " + std::to_string(s.pad_top) + " " +
         std::to_string(s.pad_left) + " " + std::to_string(s.pad_bottom) + " " +
         std::to_string(s.pad_right) + (s.count_pad ? " counted" : "");
}

// Every window has a place inside the input: pads are smaller than the kernel, and windows begin
// before the end of the input.
int32_t outputs(Random& random, int32_t in, int32_t kernel, int32_t stride, int32_t before,
                int32_t after) {
  const int32_t room = in + before + after - kernel;
  if (room < 0) return 0;
  int32_t count = (room + (random.integer(0, 1) == 1 ? stride - 1 : 0)) / stride + 1;
  while (count > 0 && (count - 1) * stride - before >= in) --count;
  return count;
}

tt_pool_shape random_pool(Random& random) {
  for (;;) {
    tt_pool_shape s{};
    s.batch = random.integer(1, 3);
    s.channels = random.pick({random.integer(1, 40), random.integer(1, 140)});
    s.in_h = random.integer(1, 9);
    s.in_w = random.integer(1, 13);
    s.kernel_h = random.integer(1, 4);
    s.kernel_w = random.pick({s.kernel_h, random.integer(1, 5)});
    s.stride_h = random.integer(1, 3);
    s.stride_w = random.integer(1, 3);
    s.pad_top = random.integer(0, s.kernel_h - 1);
    s.pad_left = random.integer(0, s.kernel_w - 1);
    s.pad_bottom = random.integer(0, s.kernel_h - 1);
    s.pad_right = random.integer(0, s.kernel_w - 1);
    s.count_pad = random.integer(0, 1);
    s.out_h = outputs(random, s.in_h, s.kernel_h, s.stride_h, s.pad_top, s.pad_bottom);
    s.out_w = outputs(random, s.in_w, s.kernel_w, s.stride_w, s.pad_left, s.pad_right);
    if (s.out_h > 0 && s.out_w > 0) return s;
  }
}

int64_t inputs_of(const tt_pool_shape& s) {
  return int64_t{s.batch} * s.in_h * s.in_w * s.channels;
}
int64_t outputs_of(const tt_pool_shape& s) {
  return int64_t{s.batch} * s.out_h * s.out_w * s.channels;
}

// visit(output, input, number within the window) for all places of all windows, inside the input.
template <class F>
void for_each_place(const tt_pool_shape& s, F&& visit) {
  for (int64_t i = 0; i < outputs_of(s); ++i) {
    const int64_t c = i % s.channels, q = i / s.channels % s.out_w;
    const int64_t p = i / s.channels / s.out_w % s.out_h;
    const int64_t n = i / s.channels / s.out_w / s.out_h;
    for (int64_t number = 0; number < s.kernel_h * s.kernel_w; ++number) {
      const int64_t h = p * s.stride_h - s.pad_top + number / s.kernel_w;
      const int64_t v = q * s.stride_w - s.pad_left + number % s.kernel_w;
      const bool is_inside = h >= 0 && h < s.in_h && v >= 0 && v < s.in_w;
      const bool is_counted =
          is_inside || (s.count_pad && h < s.in_h + s.pad_bottom && v < s.in_w + s.pad_right);
      visit(i, is_inside ? ((n * s.in_h + h) * s.in_w + v) * s.channels + c : -1, number,
            is_counted);
    }
  }
}

// Runs fn(first row, last row, result) in two parts and as a whole, and compares.
template <class F>
Buffer in_parts(int64_t rows, int64_t size, F&& fn) {
  Buffer whole(size), parts(size);
  fn(int64_t{0}, rows, whole.get());
  fn(int64_t{0}, rows / 3, parts.get());
  fn(rows / 3, rows, parts.get());
  EXPECT_TRUE(whole == parts) << "parts differ from the whole";
  return whole;
}

TEST_P(Pool, AveragesAndTheirGradient) {
  Random random(1);
  for (int trial = 0; trial < 200 && !HasFailure(); ++trial) {
    const tt_pool_shape s = random_pool(random);
    SCOPED_TRACE(text(s));
    const Buffer x = random.buffer(inputs_of(s)), dy = random.buffer(outputs_of(s));
    std::vector<double> count(static_cast<size_t>(outputs_of(s)));
    for_each_place(s, [&](int64_t to, int64_t, int64_t, bool is_counted) {
      count[static_cast<size_t>(to)] += is_counted;
    });
    Sums y(outputs_of(s)), dx(inputs_of(s));
    for_each_place(s, [&](int64_t to, int64_t from, int64_t, bool) {
      if (from < 0) return;
      const double share = 1 / count[static_cast<size_t>(to)];
      y.add(to, double{x.get()[from]} * share);
      dx.add(from, double{dy.get()[to]} * share);
    });
    expect_near(in_parts(s.batch * s.out_h, outputs_of(s),
                         [&](int64_t first, int64_t last, float* result) {
                           kernels().average_pool(&s, first, last, x.get(), result);
                         }),
                y);
    expect_near(in_parts(s.batch * s.in_h, inputs_of(s),
                         [&](int64_t first, int64_t last, float* result) {
                           kernels().average_pool_grad(&s, first, last, dy.get(), 0, result);
                         }),
                dx);
    Buffer sum = random.buffer(inputs_of(s));
    for (int64_t i = 0; i < inputs_of(s); ++i) dx.add(i, sum[static_cast<size_t>(i)]);
    kernels().average_pool_grad(&s, 0, int64_t{s.batch} * s.in_h, dy.get(), 1, sum.get());
    expect_near(sum, dx);
  }
}

template <class Index>
void check_max(const tt_kernels& kernels, const tt_pool_shape& s, Random& random) {
  SCOPED_TRACE(text(s));
  Buffer x = random.buffer(inputs_of(s));
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::round(x[i] * 4.0f);  // many ties
  const Buffer dy = random.buffer(outputs_of(s));
  const int32_t wide = sizeof(Index) > 1;
  std::vector<Index> argmax(static_cast<size_t>(outputs_of(s)), Index{-1}), parts = argmax;
  const int64_t rows = int64_t{s.batch} * s.out_h;
  kernels.max_pool_argmax(&s, 0, rows, x.get(), wide, argmax.data());
  kernels.max_pool_argmax(&s, 0, rows / 2, x.get(), wide, parts.data());
  kernels.max_pool_argmax(&s, rows / 2, rows, x.get(), wide, parts.data());
  EXPECT_EQ(argmax, parts);
  const Buffer y = in_parts(rows, outputs_of(s), [&](int64_t first, int64_t last, float* result) {
    kernels.max_pool(&s, first, last, x.get(), result);
  });
  Sums dx(inputs_of(s));
  std::vector<bool> seen(argmax.size());
  for_each_place(s, [&](int64_t to, int64_t from, int64_t number, bool) {
    if (from < 0) return;
    const auto i = static_cast<size_t>(to);
    ASSERT_LE(x.get()[from], y[i]);
    if (number != argmax[i]) {
      ASSERT_TRUE(seen[i] || x.get()[from] < y[i]) << "not the first maximum";
      return;
    }
    seen[i] = true;
    ASSERT_EQ(x.get()[from], y[i]);
    dx.add(from, double{dy.get()[to]});
  });
  expect_near(in_parts(s.batch * s.in_h, inputs_of(s),
                       [&](int64_t first, int64_t last, float* result) {
                         kernels.max_pool_grad(&s, first, last, dy.get(), argmax.data(), wide,
                                               result);
                       }),
              dx);
}

TEST_P(Pool, MaximaAndTheirGradient) {
  Random random(2);
  for (int trial = 0; trial < 150 && !HasFailure(); ++trial) {
    const tt_pool_shape s = random_pool(random);
    check_max<int8_t>(kernels(), s, random);
    check_max<int32_t>(kernels(), s, random);
  }
}

TEST_P(Pool, ShapesOfNetworks) {
  Random random(3);
  tt_pool_shape s{};
  s.batch = 2;
  s.channels = 320;
  s.in_h = s.in_w = s.kernel_h = s.kernel_w = 7;
  s.stride_h = s.stride_w = s.out_h = s.out_w = 1;
  check_max<int8_t>(kernels(), s, random);
  s.channels = 64;
  s.in_h = s.in_w = 28;
  s.kernel_h = s.kernel_w = 3;
  s.stride_h = s.stride_w = 2;
  s.pad_top = s.pad_left = s.pad_bottom = s.pad_right = 1;
  s.out_h = s.out_w = 14;
  check_max<int8_t>(kernels(), s, random);
}

tt_resize_shape random_resize(Random& random) {
  tt_resize_shape s{};
  s.batch = random.integer(1, 2);
  s.channels = random.pick({random.integer(1, 40), random.integer(1, 140)});
  s.in_h = random.integer(1, 9);
  s.in_w = random.integer(1, 9);
  s.out_h = random.pick({random.integer(1, 19), 50 * s.in_h});
  s.out_w = random.integer(1, 19);
  s.mode = random.pick({TT_NEAREST, TT_HALF_PIXEL, TT_ALIGN_CORNERS});
  return s;
}

// The weights along one dimension: pixel i of `out` reads pixel j of `in` with weight [i][j].
std::vector<std::vector<double>> weights(tt_resize_mode mode, int32_t in, int32_t out) {
  std::vector<std::vector<double>> result;
  for (int32_t i = 0; i < out; ++i) {
    std::vector<double> row(static_cast<size_t>(in));
    double at = 0;
    if (mode == TT_NEAREST) at = i * in / out;
    if (mode == TT_HALF_PIXEL) at = (i + 0.5) * in / out - 0.5;
    if (mode == TT_ALIGN_CORNERS && out > 1) at = static_cast<double>(i) * (in - 1) / (out - 1);
    at = std::clamp(at, 0.0, in - 1.0);
    const auto low = static_cast<size_t>(at);
    row[low] += 1 - (at - std::floor(at));
    if (low + 1 < row.size()) row[low + 1] += at - std::floor(at);
    result.push_back(row);
  }
  return result;
}

TEST_P(Pool, ResizingAndItsGradient) {
  Random random(4);
  for (int trial = 0; trial < 80 && !HasFailure(); ++trial) {
    const tt_resize_shape s = random_resize(random);
    SCOPED_TRACE(std::to_string(s.in_h) + "x" + std::to_string(s.in_w) + " to " +
                 std::to_string(s.out_h) + "x" + std::to_string(s.out_w) + " mode " +
                 std::to_string(s.mode) + " channels " + std::to_string(s.channels));
    const int64_t line = int64_t{s.in_w} * s.channels, out_line = int64_t{s.out_w} * s.channels;
    const Buffer x = random.buffer(s.batch * s.in_h * line);
    const Buffer dy = random.buffer(s.batch * s.out_h * out_line);
    Sums y(static_cast<int64_t>(dy.size())), dx(static_cast<int64_t>(x.size()));
    const auto rows = weights(s.mode, s.in_h, s.out_h), cols = weights(s.mode, s.in_w, s.out_w);
    for (int64_t to = 0; to < static_cast<int64_t>(dy.size()); ++to) {
      const int64_t c = to % s.channels, q = to / s.channels % s.out_w;
      const int64_t p = to / out_line % s.out_h, n = to / out_line / s.out_h;
      for (int64_t h = 0; h < s.in_h; ++h) {
        const double w_h = rows[static_cast<size_t>(p)][static_cast<size_t>(h)];
        for (int64_t v = 0; w_h != 0 && v < s.in_w; ++v) {
          const double w = w_h * cols[static_cast<size_t>(q)][static_cast<size_t>(v)];
          if (w == 0) continue;
          const int64_t from = (n * s.in_h + h) * line + v * s.channels + c;
          y.add(to, w * double{x.get()[from]});
          dx.add(from, w * double{dy.get()[to]});
        }
      }
    }
    const auto near = [](const Buffer& got, const Sums& want) {
      for (size_t i = 0; i < got.size(); ++i) {
        ASSERT_NEAR(got[i], want.value[i], 2e-6 * want.magnitude[i] + 1e-6) << "element " << i;
      }
    };
    near(in_parts(s.batch * s.out_h, y.value.size(),
                  [&](int64_t first, int64_t last, float* result) {
                    kernels().resize(&s, first, last, x.get(), result);
                  }),
         y);
    near(in_parts(s.batch * s.in_h, dx.value.size(),
                  [&](int64_t first, int64_t last, float* result) {
                    kernels().resize_grad(&s, first, last, dy.get(), result);
                  }),
         dx);
  }
}

}  // namespace
}  // namespace tinytl

// Depthwise convolution, its two gradients and add_layer of every kernel set: sums against loops in
// double, and what must not change a bit (epilogues, parts of a layer) against a run without it.

#include <functional>

#include "engine/ops/layer_parts.h"
#include "tests/kernels/support.h"

namespace tinytl {
namespace {

using Depthwise = Kernels;

INSTANTIATE_TEST_SUITE_P(Sets, Depthwise, testing::ValuesIn(all_kernel_sets()),
                         [](const auto& test) { return std::string(test.param->name); });

enum Direction { kForward, kGradInput, kGradWeight };
constexpr Direction kDirections[] = {kForward, kGradInput};

std::string text(const tt_conv2d_shape& s) {
  std::string result = "batch, in h w, c, out h w, kernel, stride, pad, dilation, pitch:";
  for (const int32_t v :
       {s.batch, s.in_h, s.in_w, s.in_c, s.out_h, s.out_w, s.kernel_h, s.kernel_w, s.stride_h,
        s.stride_w, s.pad_top, s.pad_left, s.dilation_h, s.dilation_w, s.pitch}) {
    result.append(" ").append(std::to_string(v));
  }
  return result;
}

int64_t pitch_of(const tt_conv2d_shape& s) { return s.pitch > 0 ? s.pitch : s.in_c; }
int64_t x_size(const tt_conv2d_shape& s) { return s.batch * s.in_h * s.in_w * pitch_of(s); }
int64_t y_size(const tt_conv2d_shape& s) { return s.batch * s.out_h * s.out_w * pitch_of(s); }
int64_t w_size(const tt_conv2d_shape& s) { return s.kernel_h * s.kernel_w * pitch_of(s); }

tt_conv2d_shape shape_of(int32_t h, int32_t w, int32_t channels, int32_t kernel, int32_t stride) {
  tt_conv2d_shape s{};
  s.batch = 2;
  s.in_h = h;
  s.in_w = w;
  s.in_c = s.out_c = s.groups = channels;
  s.kernel_h = s.kernel_w = kernel;
  s.stride_h = s.stride_w = stride;
  s.pad_top = s.pad_left = kernel / 2;
  s.dilation_h = s.dilation_w = 1;
  s.out_h = (h + 2 * s.pad_top - kernel) / stride + 1;
  s.out_w = (w + 2 * s.pad_left - kernel) / stride + 1;
  return s;
}

tt_conv2d_shape random_shape(Random& random) {
  for (;;) {
    tt_conv2d_shape s = shape_of(random.integer(1, 12), random.integer(1, 21),
                                 random.integer(1, 33), random.integer(1, 8), 1);
    if (random.integer(0, 2) > 0) s.kernel_h = s.kernel_w = random.pick({3, 5, 7});
    if (random.integer(0, 4) == 0) s.kernel_w = random.integer(1, 8);
    s.stride_h = s.stride_w = random.pick({1, 1, 2, 2, 3});
    if (random.integer(0, 5) == 0) s.stride_w = random.integer(1, 3);
    s.dilation_h = random.pick({1, 1, 1, 2});
    s.dilation_w = random.pick({1, 1, 1, 2, 3});
    s.pad_top = random.integer(0, s.kernel_h);
    s.pad_left = random.integer(0, s.kernel_w);
    const int32_t h =
        s.in_h + s.pad_top + random.integer(0, s.kernel_h) - (s.kernel_h - 1) * s.dilation_h - 1;
    const int32_t w =
        s.in_w + s.pad_left + random.integer(0, s.kernel_w) - (s.kernel_w - 1) * s.dilation_w - 1;
    s.out_h = h / s.stride_h + 1;
    s.out_w = w / s.stride_w + 1;
    if (h >= 0 && w >= 0) return s;
  }
}

// fn(index in x, in w, in y) for every product.
template <class F>
void for_each_product(const tt_conv2d_shape& s, F&& fn) {
  const int64_t pitch = pitch_of(s);
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t oh = 0; oh < s.out_h; ++oh)
      for (int64_t ow = 0; ow < s.out_w; ++ow)
        for (int64_t kh = 0; kh < s.kernel_h; ++kh)
          for (int64_t kw = 0; kw < s.kernel_w; ++kw) {
            const int64_t h = oh * s.stride_h - s.pad_top + kh * s.dilation_h;
            const int64_t w = ow * s.stride_w - s.pad_left + kw * s.dilation_w;
            if (h < 0 || h >= s.in_h || w < 0 || w >= s.in_w) continue;
            for (int64_t c = 0; c < s.in_c; ++c) {
              fn(((n * s.in_h + h) * s.in_w + w) * pitch + c, (kh * s.kernel_w + kw) * pitch + c,
                 ((n * s.out_h + oh) * s.out_w + ow) * pitch + c);
            }
          }
}

// The arrays of a layer. With `is_q8` w holds the values that the 8-bit weights stand for.
struct Arrays {
  Arrays(const tt_conv2d_shape& s, bool is_q8, Random& random)
      : x(random.buffer(x_size(s))),
        y(random.buffer(y_size(s))),
        w(random.buffer(w_size(s))),
        bias(random.buffer(pitch_of(s))),
        scale(random.buffer(pitch_of(s))),
        q8(w.size()) {
    for (size_t i = 0; i < q8.size(); ++i) {
      q8[i] = static_cast<int8_t>(random.integer(-128, 127));
      if (is_q8) w[i] = static_cast<float>(q8[i]) * scale[i % scale.size()];
    }
    weights =
        is_q8 ? tt_weights{nullptr, q8.data(), scale.get()} : tt_weights{w.get(), nullptr, nullptr};
  }
  const float* from(Direction direction) const { return direction == kForward ? x.get() : y.get(); }
  Buffer x, y, w, bias, scale;
  std::vector<int8_t> q8;
  tt_weights weights;
};

class Layer {
 public:
  Layer(const tt_kernels& kernels, Direction direction)
      : kernel_(direction == kForward ? kernels.depthwise : kernels.depthwise_grad_input),
        direction_(direction) {}

  int64_t size(const tt_conv2d_shape& s) const {
    return direction_ == kForward ? y_size(s) : x_size(s);
  }
  Buffer run(const tt_conv2d_shape& s, const Arrays& a, const tt_epilogue* epilogue) const {
    Buffer result(size(s));
    kernel_(&s, a.from(direction_), &a.weights, epilogue, result.get());
    return result;
  }
  // Some rows of every image by themselves, read where they lie and as engine/ops cuts them.
  Buffer run_rows(const tt_conv2d_shape& s, const Arrays& a, const tt_epilogue* epilogue,
                  bool cut) const {
    const bool forward = direction_ == kForward;
    const int64_t in_row = (forward ? s.in_w : s.out_w) * pitch_of(s);
    const int64_t out_row = (forward ? s.out_w : s.in_w) * pitch_of(s);
    const int32_t in_h = forward ? s.in_h : s.out_h, out_h = forward ? s.out_h : s.in_h;
    Buffer result(size(s));
    for (int64_t n = 0; n < s.batch; ++n) {
      for (int32_t row = 0, count = 1; row < out_h; row += count, count = count % 4 + 1) {
        count = std::min(count, out_h - row);
        RowsPart part{s, 0};
        if (cut) {
          part = forward ? forward_rows(s, row, count) : grad_input_rows(s, row, count);
        } else {
          part.shape.batch = 1;
          (forward ? part.shape.out_h : part.shape.in_h) = count;
          part.shape.pad_top += forward ? -row * s.stride_h : row;
        }
        const int64_t to = (n * out_h + row) * out_row;
        const tt_epilogue end = shifted(*epilogue, to, 0);
        kernel_(&part.shape, a.from(direction_) + (n * in_h + part.first) * in_row, &a.weights,
                &end, result.get() + to);
      }
    }
    return result;
  }
  // Ranges of channels by themselves.
  Buffer run_channels(const tt_conv2d_shape& s, const Arrays& a,
                      const tt_epilogue* epilogue) const {
    Buffer result(size(s));
    for (int32_t c = 0; c < s.in_c; c += 16) {
      tt_conv2d_shape part = s;
      part.pitch = s.in_c;
      part.in_c = part.out_c = part.groups = std::min(16, s.in_c - c);
      tt_weights w = a.weights;
      if (w.f32 != nullptr) w.f32 += c;
      if (w.q8 != nullptr) w = {nullptr, w.q8 + c, w.scale + c};
      const tt_epilogue end = shifted(*epilogue, c, c);
      kernel_(&part, a.from(direction_) + c, &w, &end, result.get() + c);
    }
    return result;
  }

 private:
  static tt_epilogue shifted(tt_epilogue e, int64_t elements, int64_t channels) {
    if (e.bias != nullptr) e.bias += channels;
    if (e.inside != nullptr) e.inside += elements / 8;
    if (e.keep != nullptr) e.keep += elements / 8;
    if (e.keep_within != nullptr) e.keep_within += elements;
    return e;
  }

  decltype(tt_kernels::depthwise) kernel_;
  Direction direction_;
};

// A random epilogue with the arrays it refers to.
struct Epilogue {
  Epilogue(int64_t n, bool masks, const float* bias, Random& random)
      : inside(static_cast<size_t>(n + 7) / 8, 0xa5), keep(inside.size()), other(random.buffer(n)) {
    for (uint8_t& byte : keep) byte = static_cast<uint8_t>(random.integer(0, 255));
    const auto some = [&] { return random.integer(0, 1) == 1; };
    e.bias = some() ? bias : nullptr;
    e.clip = some();
    e.low = random.pick({0.0f, -0.5f});
    e.high = random.pick({0.5f, std::numeric_limits<float>::infinity()});
    e.inside = masks && some() ? inside.data() : nullptr;
    e.keep = masks && some() ? keep.data() : nullptr;
    e.keep_within = some() ? other.get() : nullptr;
  }
  // The same, but for the bits of `inside`, which go into `bits`.
  tt_epilogue into(std::vector<uint8_t>& bits) const {
    tt_epilogue copy = e;
    bits.assign(inside.size(), 0x5a);
    if (e.inside != nullptr) copy.inside = bits.data();
    return copy;
  }
  std::vector<uint8_t> inside, keep;
  Buffer other;
  tt_epilogue e{};
};

bool bit(const std::vector<uint8_t>& mask, size_t i) { return mask[i / 8] >> (i % 8) & 1; }

// `got` and its bits are what `e` makes of `plain`.
void expect_finished(const tt_epilogue& e, const Buffer& plain, const Buffer& got,
                     const std::vector<uint8_t>& bits) {
  for (size_t i = 0; i < plain.size(); ++i) {
    float y = plain[i];
    if (e.clip) y = std::min(std::max(y, e.low), e.high);
    if (e.inside != nullptr) {
      ASSERT_EQ(bit(bits, i), e.low < y && y < e.high) << "bit " << i;
    }
    if (e.keep != nullptr && !(e.keep[i / 8] >> (i % 8) & 1)) y = 0;
    if (e.keep_within && !(e.low < e.keep_within[i] && e.keep_within[i] < e.high)) y = 0;
    ASSERT_EQ(got[i], y) << "element " << i;
  }
}

void check(const tt_kernels& kernels, const tt_conv2d_shape& s, bool is_q8, Random& random) {
  SCOPED_TRACE(text(s) + (is_q8 ? " q8" : ""));
  const Arrays a(s, is_q8, random);
  for (const Direction direction : kDirections) {
    SCOPED_TRACE(direction == kForward ? "forward" : "grad_input");
    const Layer layer(kernels, direction);
    const Epilogue epilogue(layer.size(s), s.in_c % 8 == 0, a.bias.get(), random);
    tt_epilogue bias_only{};
    bias_only.bias = epilogue.e.bias;

    Sums want(layer.size(s));
    for (size_t i = 0; bias_only.bias && i < want.value.size(); ++i) {
      want.add(static_cast<int64_t>(i), a.bias[i % a.bias.size()]);
    }
    for_each_product(s, [&](int64_t x, int64_t w, int64_t y) {
      if (direction == kForward) want.add(y, double{a.x.get()[x]} * a.w.get()[w]);
      if (direction == kGradInput) want.add(x, double{a.y.get()[y]} * a.w.get()[w]);
    });
    const Buffer plain = layer.run(s, a, &bias_only);
    expect_near(plain, want);
    if (bias_only.bias == nullptr) {
      EXPECT_TRUE(plain == layer.run(s, a, nullptr));
    }

    const auto check_run = [&](const char* what, auto&& run) {
      SCOPED_TRACE(what);
      std::vector<uint8_t> bits;
      const tt_epilogue e = epilogue.into(bits);
      expect_finished(e, plain, run(e), bits);
    };
    check_run("whole", [&](const tt_epilogue& e) { return layer.run(s, a, &e); });
    check_run("rows", [&](const tt_epilogue& e) { return layer.run_rows(s, a, &e, false); });
    check_run("cut rows", [&](const tt_epilogue& e) { return layer.run_rows(s, a, &e, true); });
    check_run("channels", [&](const tt_epilogue& e) { return layer.run_channels(s, a, &e); });
  }
}

void check_weights(const tt_kernels& kernels, const tt_conv2d_shape& s, Random& random) {
  SCOPED_TRACE(text(s) + " grad_weight");
  const Arrays a(s, false, random);
  const bool accumulate = random.integer(0, 1) == 1;
  const float factor = random.pick({1.0f, 0.25f, -3.0f});
  Sums want(w_size(s));
  for (size_t i = 0; accumulate && i < a.w.size(); ++i) want.add(static_cast<int64_t>(i), a.w[i]);
  for_each_product(s, [&](int64_t x, int64_t w, int64_t y) {
    want.add(w, double{factor} * a.x.get()[x] * a.y.get()[y]);
  });
  Buffer start(w_size(s));
  if (accumulate) start = a.w;
  Buffer whole = start, parts = start;
  kernels.depthwise_grad_weight(&s, a.x.get(), a.y.get(), factor, accumulate, whole.get());
  expect_near(whole, want);
  for (int32_t c = 0; c < s.in_c; c += 16) {
    tt_conv2d_shape part = s;
    part.pitch = s.in_c;
    part.in_c = part.out_c = part.groups = std::min(16, s.in_c - c);
    kernels.depthwise_grad_weight(&part, a.x.get() + c, a.y.get() + c, factor, accumulate,
                                  parts.get() + c);
  }
  EXPECT_TRUE(whole == parts) << "ranges of channels";
}

TEST_P(Depthwise, RandomShapes) {
  Random random(1);
  for (int trial = 0; trial < 300 && !HasFailure(); ++trial) {
    const tt_conv2d_shape s = random_shape(random);
    check(kernels(), s, random.integer(0, 2) == 0, random);
    check_weights(kernels(), s, random);
  }
}

TEST_P(Depthwise, Masks) {
  Random random(2);
  for (int trial = 0; trial < 150 && !HasFailure(); ++trial) {
    tt_conv2d_shape s = random_shape(random);
    s.in_c = s.out_c = s.groups = 8 * random.integer(1, 5);
    check(kernels(), s, random.integer(0, 2) == 0, random);
  }
}

TEST_P(Depthwise, MobileNets) {
  Random random(3);
  for (const int32_t kernel : {3, 5, 7}) {
    for (const int32_t stride : {1, 2}) {
      for (const tt_conv2d_shape& s :
           {shape_of(28, 28, 72, kernel, stride), shape_of(7, 7, 100, kernel, stride),
            shape_of(14, 14, 24, kernel, stride)}) {
        check(kernels(), s, false, random);
        check(kernels(), s, true, random);
        check_weights(kernels(), s, random);
      }
    }
  }
}

// Several bands of rows, and what is fetched ahead.
TEST_P(Depthwise, LargeImages) {
  Random random(4);
  for (const int32_t stride : {1, 2}) {
    tt_conv2d_shape s = shape_of(61, 67, 72, 3, stride);
    s.batch = 1;
    check(kernels(), s, false, random);
    check_weights(kernels(), s, random);
  }
}

TEST_P(Depthwise, ClipLetsNanThrough) {
  Random random(5);
  const tt_conv2d_shape s = shape_of(5, 6, 24, 3, 1);
  Arrays a(s, false, random);
  a.x = Buffer(x_size(s));  // NaN
  tt_epilogue e{};
  e.clip = 1;
  e.high = 6;
  const Buffer y = Layer(kernels(), kForward).run(s, a, &e);
  for (size_t i = 0; i < y.size(); ++i) EXPECT_TRUE(std::isnan(y[i]));
}

TEST_P(Depthwise, AddLayerFinishesTheSum) {
  Random random(6);
  for (const int64_t n : {1, 7, 8, 9, 16, 24, 63, 64, 65, 128, 200, 1000}) {
    SCOPED_TRACE(n);
    for (int trial = 0; trial < 8 && !HasFailure(); ++trial) {
      const Buffer x = random.buffer(n), y = random.buffer(n);
      Buffer sum(n), beside(n), over_x = x, over_y = y;
      kernels().add(x.get(), y.get(), n, sum.get());
      const Epilogue epilogue(n, n % 8 == 0, nullptr, random);
      std::vector<uint8_t> bits;
      const tt_epilogue e = epilogue.into(bits);
      kernels().add_layer(x.get(), y.get(), n, &e, beside.get());
      expect_finished(e, sum, beside, bits);
      kernels().add_layer(over_x.get(), y.get(), n, &e, over_x.get());
      kernels().add_layer(x.get(), over_y.get(), n, &e, over_y.get());
      EXPECT_TRUE(over_x == beside);
      EXPECT_TRUE(over_y == beside);
    }
  }
}

}  // namespace
}  // namespace tinytl

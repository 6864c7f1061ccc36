// Forward values: pooling, resizing, reductions and norms against their definitions in double, and
// against numbers from PyTorch 1.13 where the definition itself is the question.

#include <algorithm>
#include <cmath>

#include "tests/ops/forward_support.h"

namespace tinytl {
namespace {

using testing::ElementsAre;
using testing::FloatNear;
using testing::Pointwise;

double reduce(const OpCase& c, const Operands& t, const Ints& at, bool mean) {
  const auto axes = c.attributes.integers("axes");
  const bool keep = c.attributes.integer("keepdims") != 0;
  double sum = 0, count = 0;
  for (size_t i = 0; i < t.f32[0].size(); ++i) {
    const Ints from = coordinates(static_cast<int64_t>(i), c.inputs[0].shape);
    Ints to;
    for (size_t d = 0; d < from.size(); ++d) {
      const bool reduced = std::ranges::find(axes, static_cast<int64_t>(d)) != axes.end();
      if (!reduced) to.push_back(from[d]);
      if (reduced && keep) to.push_back(0);
    }
    if (to != at) continue;
    sum += t.f32[0][i];
    count += 1;
  }
  return mean ? sum / count : sum;
}

TEST(Spatial, ReductionsRunOverTheirAxes) {
  expect_all_cases_match(kReduceSum, [](const OpCase& c, const Operands& t, const Ints& at,
                                        const Shape&) { return reduce(c, t, at, false); });
  expect_all_cases_match(kReduceMean, [](const OpCase& c, const Operands& t, const Ints& at,
                                         const Shape&) { return reduce(c, t, at, true); });
}

// An image of 5 x 6 pixels, as given to PyTorch.
Floats small_image() {
  Floats x;
  for (int i = 0; i < 30; ++i) x.push_back(static_cast<float>(i * 7 % 10));
  return x;
}

Floats pool(const OpDef& op, int64_t ceil_mode, int64_t count_include_pad) {
  return run(op, {{{1, 5, 6, 1}, small_image()}},
             {{"kernel", Ints{3, 3}},
              {"strides", Ints{2, 2}},
              {"pads", Ints{1, 1, 1, 1}},
              {"ceil_mode", ceil_mode},
              {"count_include_pad", count_include_pad}});
}

TEST(Spatial, PoolingIsPyTorchs) {
  const auto near = [](Floats values) { return Pointwise(FloatNear(1e-5f), std::move(values)); };
  EXPECT_THAT(pool(kMaxPool, 0, 0), ElementsAre(9, 9, 8, 9, 9, 9, 8, 9, 9));
  EXPECT_THAT(pool(kMaxPool, 1, 0), ElementsAre(9, 9, 8, 7, 9, 9, 9, 9, 8, 9, 9, 3));
  EXPECT_THAT(pool(kAveragePool, 0, 0),
              near({4.5f, 5, 4, 4.16667f, 4.66667f, 4.22222f, 5.5f, 4.33333f, 5}));
  EXPECT_THAT(pool(kAveragePool, 0, 1), near({2, 3.33333f, 2.66667f, 2.77778f, 4.66667f, 4.22222f,
                                              2.44444f, 2.88889f, 3.33333f}));
  EXPECT_THAT(pool(kAveragePool, 1, 0),
              near({4.5f, 5, 4, 6, 4.16667f, 4.66667f, 4.22222f, 5.66667f, 5.5f, 4.33333f, 5, 2}));
  EXPECT_THAT(pool(kAveragePool, 1, 1),
              near({2, 3.33333f, 2.66667f, 2, 2.77778f, 4.66667f, 4.22222f, 2.83333f, 2.44444f,
                    2.88889f, 3.33333f, 0.66667f}));
}

TEST(Spatial, WindowsBeginInsideTheInputOrThePaddingBeforeIt) {
  const OpGraph g = forward_graph(op_case("MaxPoolCeilModeWindowBeyondInput"));
  EXPECT_EQ(g.graph.value(g.output).type, f32({1, 2, 2, 1}));  // as PyTorch, not 3 x 3
}

struct Window {
  double sum = 0, top = -INFINITY, pixels = 0, pixels_with_pad = 0;
};

Window window_at(const OpCase& c, const Operands& t, const Ints& at) {
  const Shape& x = c.inputs[0].shape;
  const auto kernel = c.attributes.integers("kernel"), strides = c.attributes.integers("strides");
  const auto pads = c.attributes.integers("pads");
  Window w;
  for (int64_t i = 0; i < kernel[0]; ++i) {
    for (int64_t j = 0; j < kernel[1]; ++j) {
      const int64_t h = at[1] * strides[0] - pads[0] + i, v = at[2] * strides[1] - pads[1] + j;
      w.pixels_with_pad += h < x[1] + pads[2] && v < x[2] + pads[3];
      if (h < 0 || h >= x[1] || v < 0 || v >= x[2]) continue;
      const float value = t.f32[0][broadcast_index({at[0], h, v, at[3]}, x)];
      w.sum += value;
      w.top = std::max(w.top, double{value});
      w.pixels += 1;
    }
  }
  return w;
}

TEST(Spatial, PoolingIsItsDefinition) {
  expect_all_cases_match(kMaxPool, [](const OpCase& c, const Operands& t, const Ints& at,
                                      const Shape&) { return window_at(c, t, at).top; });
  expect_all_cases_match(kAveragePool,
                         [](const OpCase& c, const Operands& t, const Ints& at, const Shape&) {
                           const Window w = window_at(c, t, at);
                           const bool with_pad = c.attributes.integer("count_include_pad") != 0;
                           return w.sum / (with_pad ? w.pixels_with_pad : w.pixels);
                         });
}

TEST(Spatial, PaddingNeverWinsAMaximum) {
  EXPECT_THAT(run(kMaxPool, {{{1, 1, 2, 1}, {-3, -2}}},
                  {{"kernel", Ints{3, 3}},
                   {"strides", Ints{1, 1}},
                   {"pads", Ints{1, 1, 1, 1}},
                   {"ceil_mode", int64_t{0}}}),
              ElementsAre(-2, -2));
}

TEST(Spatial, ResizingIsPyTorchs) {
  const auto resize = [](int64_t mode, const Floats& x, int64_t h, int64_t w, Ints size) {
    return run(kResize, {{{1, h, w, 1}, x}}, {{"size", std::move(size)}, {"mode", mode}});
  };
  const Floats x{0, 7, 4, 2, 9, 6};
  const auto near = [](Floats values) { return Pointwise(FloatNear(1e-5f), std::move(values)); };
  EXPECT_THAT(resize(0, x, 2, 3, {3, 5}), near({0, 0, 7, 7, 4, 0, 0, 7, 7, 4, 2, 2, 9, 9, 6}));
  EXPECT_THAT(resize(1, x, 2, 3, {3, 5}),
              near({0, 2.8f, 7, 5.2f, 4, 1, 3.8f, 8, 6.2f, 5, 2, 4.8f, 9, 7.2f, 6}));
  EXPECT_THAT(resize(2, x, 2, 3, {3, 5}),
              near({0, 3.5f, 7, 5.5f, 4, 1, 4.5f, 8, 6.5f, 5, 2, 5.5f, 9, 7.5f, 6}));
  EXPECT_THAT(resize(1, small_image(), 5, 6, {2, 3}), near({5, 4, 4.25f, 5, 4, 3}));
}

TEST(Spatial, LayerNormIsPyTorchs) {
  EXPECT_THAT(run(kLayerNorm,
                  {{{2, 4}, {1, 2, 4, -3, 0.5f, 0.5f, -1, 2}},
                   {{4}, {1, 2, 0.5f, -1}},
                   {{4}, {0, 1, 2, 3}}},
                  {{"epsilon", 1e-5f}}),
              Pointwise(FloatNear(1e-5f),
                        Floats{0, 1.78446f, 2.58835f, 4.56893f, 0, 1, 1.2929f, 1.58579f}));
}

TEST(Spatial, LayerNormKeepsItsDigitsFarFromZero) {
  const Floats y =
      run(kLayerNorm,
          {{{1, 4}, {10001, 10002, 10003, 10004}}, {{4}, {1, 1, 1, 1}}, {{4}, {0, 0, 0, 0}}},
          {{"epsilon", 0.0f}});
  EXPECT_THAT(y, Pointwise(FloatNear(1e-5f), Floats{-1.341641f, -0.447214f, 0.447214f, 1.341641f}));
}

}  // namespace
}  // namespace tinytl

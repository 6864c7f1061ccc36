// Layers in XNNPACK: the same results, a bias that changes, memory to the byte.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "engine/ops/op_table.h"
#include "engine/xnnpack/use_xnnpack.h"

namespace tinytl {
namespace {

// Every layer that XNNPACK can run, faster or not.
constexpr XnnpackOptions kAll{.at_most_time = 1e9, .seconds = 0};

struct Case {
  std::string label;
  const OpDef* op;
  Shape x, w;
  int64_t stride = 1, groups = 1, dilation = 1;
  std::vector<int64_t> pads{0, 0, 0, 0};
  bool bias = true, clip = false, mask = false;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.label; }

std::vector<float> noise(int64_t n, uint32_t seed) {
  std::minstd_rand random(seed + 1);
  std::vector<float> v(static_cast<size_t>(n));
  for (float& x : v) x = static_cast<float>(random() % 2001) * 1e-3f - 1.0f;
  return v;
}

std::shared_ptr<Tensor> noise_tensor(Shape shape, uint32_t seed) {
  const int64_t n = TensorType{DType::kF32, shape}.elements();
  return make_tensor(std::move(shape), noise(n, seed));
}

struct Network {
  Graph graph;
  ValueId x, y;
  std::optional<ValueId> mask;
  std::shared_ptr<Tensor> bias;
};

// x is an output too, or y would lie over it.
Network network_of(const Case& c) {
  Network n;
  n.x = n.graph.add_input("x", {DType::kF32, c.x});
  const ValueId w = n.graph.add_persistent("w", Role::kWeight, noise_tensor(c.w, 1));
  std::vector<ValueId> inputs{n.x, w};
  if (c.bias) {
    n.bias = noise_tensor({c.w.back()}, 2);
    inputs.push_back(n.graph.add_persistent("b", Role::kBias, n.bias));
  }
  Attributes attributes;
  if (c.op != &kLinear) {
    attributes = {{"strides", std::vector{c.stride, c.stride}},
                  {"pads", c.pads},
                  {"dilations", std::vector{c.dilation, c.dilation}},
                  {"groups", c.groups}};
  }
  if (c.clip) {
    attributes.set("low", -0.25f);
    attributes.set("high", 0.5f);
  }
  if (c.mask) attributes.set("mask", int64_t{1});
  const std::vector<ValueId> out = emit_all(n.graph, *c.op, "layer", inputs, attributes);
  n.y = out[0];
  n.graph.inputs = {n.x};
  n.graph.outputs = {n.y, n.x};
  if (c.mask) {
    n.mask = emit(n.graph, kMaskApply, "mask", {n.y, out[1]});
    n.graph.outputs.push_back(*n.mask);
  }
  return n;
}

// With room behind the arena, so that every layer may move.
Executor executor_of(const Graph& graph) {
  Program program = compile(graph, *tt_best_kernels());
  const size_t bytes = program.plan.arena_bytes + 64;
  return Executor(std::move(program),
                  {.kernels = nullptr, .arena = std::make_shared<Arena>(bytes)});
}

std::vector<float> result(Executor& executor, ValueId x, ValueId y) {
  const std::span<float> input = executor.f32(x);
  const std::vector<float> values = noise(static_cast<int64_t>(input.size()), 3);
  std::ranges::copy(values, input.begin());
  executor.step();
  const std::span<float> output = executor.f32(y);
  return {output.begin(), output.end()};
}

void expect_close(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  float largest = 0;
  for (const float v : expected) largest = std::max(largest, std::abs(v));
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_NEAR(actual[i], expected[i], 1e-5f * std::max(1.0f, largest)) << "element " << i;
  }
}

class Xnnpack : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_xnnpack()) GTEST_SKIP() << "built without XNNPACK (Debian: libxnnpack-dev)";
  }
};

class XnnpackLayer : public Xnnpack, public testing::WithParamInterface<Case> {};

TEST_P(XnnpackLayer, ComputesWhatTheKernelsDo) {
  const Network n = network_of(GetParam());
  Executor own = executor_of(n.graph), moved = executor_of(n.graph);
  const size_t before = xnnpack_bytes();
  XnnpackLayers layers;
  layers.add(moved);
  EXPECT_GT(layers.choose(kAll), 0u);
  ASSERT_EQ(layers.timings().size(), 1u);
  EXPECT_TRUE(layers.timings()[0].moved);
  EXPECT_EQ(xnnpack_bytes() - before, layers.timings()[0].bytes);
  expect_close(result(moved, n.x, n.y), result(own, n.x, n.y));
  if (n.mask.has_value()) {
    const std::vector<float> y = result(moved, n.x, n.y), kept = result(moved, n.x, *n.mask);
    for (size_t i = 0; i < y.size(); ++i) {
      EXPECT_EQ(kept[i], -0.25f < y[i] && y[i] < 0.5f ? y[i] : 0.0f) << i;
    }
  }
}

std::vector<Case> cases() {
  std::vector<Case> all{
      {"Stem", &kConv2d, {2, 33, 31, 3}, {3, 3, 3, 16}, 2, 1, 1, {0, 0, 1, 1}, true, true},
      {"Pointwise", &kConv2d, {2, 7, 9, 17}, {1, 1, 17, 33}},
      {"PointwiseNoBias", &kConv2d, {1, 7, 9, 24}, {1, 1, 24, 40}, 1, 1, 1, {0, 0, 0, 0}, false},
      {"PointwiseMask",
       &kConv2d,
       {1, 5, 5, 24},
       {1, 1, 24, 40},
       1,
       1,
       1,
       {0, 0, 0, 0},
       true,
       true,
       true},
      {"PointwiseStride2", &kConv2d, {1, 8, 8, 6}, {1, 1, 6, 10}, 2},
      {"Dilated", &kConv2d, {1, 12, 12, 8}, {3, 3, 8, 12}, 1, 1, 2, {2, 2, 2, 2}, true, true},
      {"Grouped", &kConv2d, {2, 9, 9, 12}, {3, 3, 4, 51}, 1, 3, 1, {1, 1, 1, 1}, true, true},
      {"Asymmetric", &kConv2d, {1, 10, 11, 5}, {4, 2, 5, 20}, 1, 1, 1, {2, 0, 1, 1}},
      {"Linear", &kLinear, {5, 37}, {37, 101}},
      {"LinearOneRow", &kLinear, {1, 640}, {640, 10}, 1, 1, 1, {}, true, true},
  };
  for (const int64_t k : {3, 5, 7}) {
    for (const int64_t stride : {1, 2}) {
      all.push_back({"Depthwise" + std::to_string(k) + "Stride" + std::to_string(stride),
                     &kDepthwiseConv2d,
                     {2, 14, 13, 19},
                     {k, k, 19},
                     stride,
                     19,
                     1,
                     {k / 2, k / 2, k / 2, k / 2},
                     true,
                     stride == 1});
    }
  }
  all.push_back({"DepthwiseMask",
                 &kDepthwiseConv2d,
                 {1, 9, 9, 24},
                 {3, 3, 24},
                 2,
                 24,
                 1,
                 {0, 0, 1, 1},
                 true,
                 true,
                 true});
  return all;
}

INSTANTIATE_TEST_SUITE_P(Layers, XnnpackLayer, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.label; });

TEST_F(Xnnpack, RandomShapes) {
  std::minstd_rand random(11);
  const auto pick = [&](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random()) % (high - low + 1);
  };
  for (int trial = 0; trial < 200; ++trial) {
    const int64_t k = pick(1, 5), stride = pick(1, 2), groups = pick(1, 3);
    const bool depthwise = pick(0, 2) == 0;
    const int64_t in = depthwise ? pick(1, 40) : groups * pick(1, 20);
    const int64_t out = depthwise ? in : groups * pick(1, 40);
    const Case c{.label = "trial " + std::to_string(trial),
                 .op = depthwise ? &kDepthwiseConv2d : &kConv2d,
                 .x = {pick(1, 3), pick(k, 12), pick(k, 12), in},
                 .w = depthwise ? Shape{k, k, in} : Shape{k, k, in / groups, out},
                 .stride = stride,
                 .groups = depthwise ? in : groups,
                 .pads = {pick(0, k - 1), pick(0, k - 1), pick(0, k - 1), pick(0, k - 1)},
                 .bias = pick(0, 3) > 0,
                 .clip = pick(0, 1) == 1};
    SCOPED_TRACE(c.label);
    const Network n = network_of(c);
    Executor own = executor_of(n.graph), moved = executor_of(n.graph);
    XnnpackLayers layers;
    layers.add(moved);
    ASSERT_GT(layers.choose(kAll), 0u);
    expect_close(result(moved, n.x, n.y), result(own, n.x, n.y));
  }
  EXPECT_EQ(xnnpack_bytes(), 0u);  // all are gone
}

// A graph that writes the bias has it patched; that equals, to the bit, what is made afresh.
TEST_P(XnnpackLayer, FollowsABiasThatChanges) {
  const Case& c = GetParam();
  if (!c.bias) GTEST_SKIP() << "without a bias";
  Network n = network_of(c);
  const ValueId step = n.graph.add_input("step", {DType::kF32, {c.w.back()}});
  n.graph.inputs.push_back(step);
  emit_all(n.graph, kAccumulate, "update", {n.graph.id_of("b"), step}, {{"factor", 1.0f}},
           Phase::kUpdate);
  Executor training = executor_of(n.graph);
  XnnpackLayers layers;
  layers.add(training);
  ASSERT_GT(layers.choose(kAll), 0u);
  for (const uint32_t seed : {8u, 9u}) {
    const std::vector<float> bias = noise(c.w.back(), seed);
    std::ranges::copy(bias, n.bias->f32().begin());
    std::ranges::fill(training.f32(step), 0.0f);
    const std::vector<float> patched = result(training, n.x, n.y);
    const Network fresh = network_of(c);
    std::ranges::copy(bias, fresh.bias->f32().begin());
    Executor frozen = executor_of(fresh.graph);
    XnnpackLayers again;
    again.add(frozen);
    ASSERT_GT(again.choose(kAll), 0u);
    EXPECT_EQ(patched, result(frozen, fresh.x, fresh.y));
  }
}

TEST_F(Xnnpack, ThreadsChangeNoBit) {
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.label);
    const Network n = network_of(c);
    std::vector<float> results[2];
    for (const int threads : {1, 2}) {
      Program program = compile(n.graph, *tt_best_kernels(), {.threads = threads});
      const auto arena = std::make_shared<Arena>(program.plan.arena_bytes + 64);
      Executor executor(
          std::move(program),
          {.kernels = nullptr, .arena = arena, .threads = std::make_shared<ThreadPool>(threads)});
      XnnpackLayers layers;
      layers.add(executor);
      ASSERT_GT(layers.choose(kAll), 0u);
      results[threads - 1] = result(executor, n.x, n.y);
    }
    EXPECT_EQ(results[0], results[1]);
  }
}

TEST_F(Xnnpack, AWeightThatChangesStays) {
  Network n = network_of(cases()[1]);
  const Shape shape = cases()[1].w;
  const ValueId step = n.graph.add_input("step", {DType::kF32, shape});
  n.graph.inputs.push_back(step);
  emit_all(n.graph, kAccumulate, "update", {n.graph.id_of("w"), step}, {{"factor", 1.0f}},
           Phase::kUpdate);
  Executor training = executor_of(n.graph);
  XnnpackLayers layers;
  layers.add(training);
  EXPECT_EQ(layers.choose(kAll), 0u);
}

TEST_F(Xnnpack, KeepsToItsBytesAndSharesAmongExecutors) {
  const Network n = network_of(cases()[0]);
  Executor first = executor_of(n.graph);
  XnnpackLayers one;
  one.add(first);
  const size_t bytes = one.choose(kAll);
  ASSERT_GT(bytes, 0u);
  EXPECT_EQ(xnnpack_bytes(), bytes);

  Executor second = executor_of(n.graph), third = executor_of(n.graph);
  XnnpackLayers two;
  two.add(second);
  two.add(third);
  XnnpackOptions options = kAll;
  options.most_bytes = bytes - 1;
  EXPECT_EQ(two.choose(options), 0u);
  EXPECT_EQ(xnnpack_bytes(), bytes);
  options.most_bytes = bytes;
  EXPECT_EQ(two.choose(options), bytes);
  EXPECT_EQ(xnnpack_bytes(), 2 * bytes);
  EXPECT_EQ(result(second, n.x, n.y), result(third, n.x, n.y));
}

}  // namespace
}  // namespace tinytl

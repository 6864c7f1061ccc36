// The operators on 8-bit integers: near those of real numbers, and with their gradients. The bits
// of the kernels are tested in tests/kernels/quantized_test.cc.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "engine/graph/packed.h"
#include "engine/ops/op_table.h"
#include "engine/ops/weight_channels.h"
#include "engine/runtime/executor.h"

namespace tinytl {
namespace {

using Numbers = std::vector<float>;
using Ints = std::vector<int64_t>;

constexpr float kXScale = 0.05f, kYScale = 0.1f;
constexpr int64_t kXZero = -7, kYZero = 12, kLow = 12, kHigh = 100;

Attributes with_levels(Attributes attributes, int64_t fixed_point) {
  attributes.set("x_scale", kXScale);
  attributes.set("x_zero", kXZero);
  attributes.set("y_scale", kYScale);
  attributes.set("y_zero", kYZero);
  attributes.set("y_low", kLow);
  attributes.set("y_high", kHigh);
  attributes.set("fixed_point", fixed_point);
  return attributes;
}

Attributes conv(Ints strides, Ints pads, int64_t groups) {
  return {{"strides", strides}, {"pads", pads}, {"dilations", Ints{1, 1}}, {"groups", groups}};
}

struct LayerCase {
  const char* label;
  bool depthwise;
  Shape x, w;
  Attributes attributes;
};

void PrintTo(const LayerCase& c, std::ostream* out) { *out << c.label; }

const std::vector<LayerCase>& layer_cases() {
  static const std::vector<LayerCase> cases{
      {"Pointwise", false, {2, 5, 4, 8}, {1, 1, 8, 16}, conv({1, 1}, {0, 0, 0, 0}, 1)},
      {"PointwiseManyPixels", false, {1, 40, 41, 24}, {1, 1, 24, 9}, conv({1, 1}, {0, 0, 0, 0}, 1)},
      {"Stem", false, {1, 11, 12, 3}, {3, 3, 3, 16}, conv({2, 2}, {1, 1, 1, 1}, 1)},
      {"AsymmetricPads", false, {2, 8, 9, 3}, {3, 3, 3, 5}, conv({2, 2}, {0, 0, 1, 1}, 1)},
      {"Groups", false, {1, 6, 6, 8}, {3, 3, 4, 6}, conv({1, 1}, {1, 1, 1, 1}, 2)},
      {"Depthwise", true, {2, 7, 6, 16}, {3, 3, 16}, conv({1, 1}, {1, 1, 1, 1}, 1)},
      {"DepthwiseManyRows", true, {1, 60, 61, 10}, {5, 5, 10}, conv({2, 2}, {1, 1, 2, 2}, 1)}};
  return cases;
}

Numbers random_numbers(std::mt19937& rng, int64_t n, float most) {
  std::uniform_real_distribution<float> uniform(-most, most);
  Numbers v(static_cast<size_t>(n));
  for (float& x : v) x = uniform(rng);
  return v;
}

// Weights of any size, a scale a channel; channel 1 is dead.
std::shared_ptr<Tensor> random_weights(std::mt19937& rng, const Shape& shape) {
  auto tensor = std::make_shared<Tensor>(TensorType{DType::kQ8, shape});
  auto* const codes = reinterpret_cast<int8_t*>(tensor->bytes().data());
  for (int64_t i = 0; i < tensor->type().elements(); ++i) {
    codes[i] = static_cast<int8_t>(static_cast<int>(rng() % 255) - 127);
  }
  auto* const scale =
      reinterpret_cast<float*>(tensor->bytes().data() + tensor->type().scale_offset());
  for (int64_t c = 0; c < shape.back(); ++c) {
    scale[c] = c == 1 ? 4e-9f : 0.002f + 0.001f * static_cast<float>(c % 3);
  }
  return tensor;
}

const float* scales(const Tensor& w) {
  return reinterpret_cast<const float*>(w.bytes().data() + w.type().scale_offset());
}

// A layer between Quantize and Dequantize, and its gradients from `dy`; and the same in floats.
struct Layer {
  explicit Layer(const LayerCase& c, std::mt19937& rng, int64_t fixed_point = 0) : c(c) {
    w = random_weights(rng, c.w);
    b = std::make_shared<Tensor>(TensorType{DType::kI32, {c.w.back()}});
    for (int32_t& v : b->i32()) v = static_cast<int32_t>(rng() % 8000) - 2000;
    b->i32()[1] = INT32_MIN;
    x = graph.add_input("x", {DType::kF32, c.x});
    levels = emit(graph, kQuantize, "x", {x}, {{"y_scale", kXScale}, {"y_zero", kXZero}});
    weight = graph.add_persistent("w", Role::kWeight, w);
    bias = graph.add_persistent("b", Role::kBias, b);
    const OpDef& op = c.depthwise ? kQDepthwiseConv2d : kQConv2d;
    y8 = emit(graph, op, "layer", {levels, weight, bias}, with_levels(c.attributes, fixed_point));
    y = emit(graph, kDequantize, "y", {y8}, {{"x_scale", kYScale}, {"x_zero", kYZero}});
    graph.outputs = {y};
  }

  std::vector<ValueId> add_gradients(std::vector<bool> wanted) {
    dy = graph.add_input("dy", {DType::kF32, graph.value(y).type.shape});
    GradBuilder grad(graph, graph.value(y8).producer, wanted, {dy});
    grad.node().op->vjp(grad);
    std::vector<ValueId> result;
    for (const auto& g : grad.gradients()) {
      if (g.has_value()) result.push_back(*g);
    }
    graph.outputs.insert(graph.outputs.end(), result.begin(), result.end());
    return result;
  }

  LayerCase c;
  std::shared_ptr<Tensor> w, b;
  Graph graph;
  ValueId x, levels, weight, bias, y8, y, dy;
};

// The same layer of the numbers that the integers stand for.
struct FloatLayer {
  FloatLayer(const Layer& layer, const Numbers& x_levels) {
    const LayerCase& c = layer.c;
    auto w = std::make_shared<Tensor>(TensorType{DType::kF32, c.w});
    const auto* const codes = reinterpret_cast<const int8_t*>(layer.w->bytes().data());
    const size_t columns = static_cast<size_t>(c.w.back());
    for (size_t i = 0; i < w->f32().size(); ++i) {
      w->f32()[i] = static_cast<float>(codes[i]) * scales(*layer.w)[i % columns];
    }
    auto b = std::make_shared<Tensor>(TensorType{DType::kF32, {c.w.back()}});
    for (size_t i = 0; i < columns; ++i) {
      b->f32()[i] = static_cast<float>(layer.b->i32()[i]) * kXScale * scales(*layer.w)[i];
    }
    x = graph.add_input("x", {DType::kF32, c.x});
    const ValueId weight = graph.add_persistent("w", Role::kWeight, w);
    const ValueId bias = graph.add_persistent("b", Role::kBias, b);
    Attributes attributes = c.attributes;
    y = emit(graph, c.depthwise ? kDepthwiseConv2d : kConv2d, "layer", {x, weight, bias},
             attributes);
    dy = graph.add_input("dy", {DType::kF32, graph.value(y).type.shape});
    GradBuilder grad(graph, graph.value(y).producer, {true, true, true}, {dy});
    grad.node().op->vjp(grad);
    for (const auto& g : grad.gradients()) gradients.push_back(*g);
    graph.outputs = {y, gradients[0], gradients[1], gradients[2]};
    numbers = x_levels;
    for (float& v : numbers) {
      v = (std::clamp(std::nearbyint(v / kXScale) + kXZero, -128.0f, 127.0f) - kXZero) * kXScale;
    }
  }

  Graph graph;
  ValueId x, y, dy;
  std::vector<ValueId> gradients;
  Numbers numbers;  // x as its levels stand for it
};

void write(const Executor& executor, ValueId id, const Numbers& numbers) {
  ASSERT_EQ(executor.f32(id).size(), numbers.size());
  std::ranges::copy(numbers, executor.f32(id).begin());
}

Numbers read(const Executor& executor, ValueId id) {
  const auto values = executor.f32(id);
  return {values.begin(), values.end()};
}

void expect_close(const Numbers& got, const Numbers& want) {
  ASSERT_EQ(got.size(), want.size());
  float most = 1e-6f;
  for (const float v : want) most = std::max(most, std::abs(v));
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-5f * most) << i;
}

class IntegerLayer : public testing::TestWithParam<LayerCase> {};

INSTANTIATE_TEST_SUITE_P(Layers, IntegerLayer, testing::ValuesIn(layer_cases()),
                         [](const auto& test) { return std::string(test.param.label); });

TEST_P(IntegerLayer, IsTheFloatLayerRoundedToALevel) {
  for (const int64_t fixed_point : {0, 1}) {
    std::mt19937 rng(1);
    Layer layer(GetParam(), rng, fixed_point);
    const Numbers x = random_numbers(rng, layer.graph.value(layer.x).type.elements(), 8.0f);
    FloatLayer real(layer, x);
    Executor integers(layer.graph), floats(real.graph);
    write(integers, layer.x, x);
    write(floats, real.x, real.numbers);
    write(floats, real.dy, Numbers(floats.f32(real.dy).size()));
    integers.step();
    floats.step();
    const Numbers y = read(integers, layer.y), want = read(floats, real.y);
    const float low = (kLow - kYZero) * kYScale, high = (kHigh - kYZero) * kYScale;
    for (size_t i = 0; i < y.size(); ++i) {
      // Half a level, and what floats sum up wrongly.
      ASSERT_NEAR(y[i], std::clamp(want[i], low, high), 0.501f * kYScale) << i;
    }
  }
}

TEST_P(IntegerLayer, GradientsAreThoseOfTheFloatLayerWithinTheLimits) {
  std::mt19937 rng(2);
  Layer layer(GetParam(), rng);
  const std::vector<ValueId> gradients = layer.add_gradients({true, true, true});
  ASSERT_EQ(gradients.size(), 3u);
  const Numbers x = random_numbers(rng, layer.graph.value(layer.x).type.elements(), 8.0f);
  FloatLayer real(layer, x);
  Executor integers(layer.graph), floats(real.graph);
  const Numbers dy = random_numbers(rng, layer.graph.value(layer.dy).type.elements(), 1.0f);
  write(integers, layer.x, x);
  write(integers, layer.dy, dy);
  integers.step();
  Numbers inside = dy;
  const Numbers y = read(integers, layer.y);
  int64_t limited = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    const auto level = std::lround(y[i] / kYScale) + kYZero;
    if (level > kLow && level < kHigh) continue;
    inside[i] = 0;
    ++limited;
  }
  EXPECT_GT(limited, 0);
  EXPECT_LT(limited, static_cast<int64_t>(y.size()));
  write(floats, real.x, real.numbers);
  write(floats, real.dy, inside);
  floats.step();
  for (size_t i = 0; i < 3; ++i) {
    SCOPED_TRACE("gradient of input " + std::to_string(i));
    expect_close(read(integers, gradients[i]), read(floats, real.gradients[i]));
  }
}

TEST_P(IntegerLayer, KeepsTheInputOnlyForTheGradientOfTheWeights) {
  std::mt19937 rng(3);
  for (const bool trains_weight : {false, true}) {
    Layer layer(GetParam(), rng);
    layer.add_gradients({true, trains_weight, true});
    bool reads_x = false;
    for (const Node& node : layer.graph.nodes()) {
      if (node.phase != Phase::kBackward) continue;
      for (const ValueId id : node.inputs) reads_x = reads_x || id == layer.levels;
      // One bit an element of y, and dy: nothing else of the forward pass.
      const bool is_mask = node.op == &kLevelMask;
      for (const ValueId id : node.inputs) EXPECT_TRUE(is_mask || id != layer.y8);
    }
    EXPECT_EQ(reads_x, trains_weight);
  }
}

// Values of the entries `channels` of that dimension.
Numbers gathered(const Numbers& all, const Shape& shape, size_t dimension,
                 const std::vector<int64_t>& channels) {
  const AxisView view = axes_view(shape, dimension, dimension + 1);
  Numbers result;
  for (int64_t o = 0; o < view.outer; ++o) {
    for (const int64_t c : channels) {
      const auto from = all.begin() + (o * view.size + c) * view.inner;
      result.insert(result.end(), from, from + view.inner);
    }
  }
  return result;
}

TEST_P(IntegerLayer, GradientOfSomeInputChannelsIsThatPartOfTheWhole) {
  std::mt19937 rng(6);
  Layer layer(GetParam(), rng);
  const size_t dimension = input_channel_dimension(layer.w->type());
  const int64_t channels = layer.w->type().dim(dimension);
  if (channels < 2) GTEST_SKIP() << "one input channel";
  const std::vector<int64_t> some{0, channels - 1};
  const ValueId whole = layer.add_gradients({false, true, false}).at(0);
  GradBuilder grad(layer.graph, layer.graph.value(layer.y8).producer, {false, true, false},
                   {layer.dy}, {{}, some, {}});
  grad.node().op->vjp(grad);
  const ValueId part = *grad.gradients().at(1);
  layer.graph.outputs.push_back(part);
  Executor executor(layer.graph);
  write(executor, layer.x, random_numbers(rng, layer.graph.value(layer.x).type.elements(), 8.0f));
  write(executor, layer.dy, random_numbers(rng, layer.graph.value(layer.dy).type.elements(), 1.0f));
  executor.step();
  expect_close(read(executor, part),
               gathered(read(executor, whole), layer.w->type().shape, dimension, some));
}

TEST(IntegerUpdate, OfSomeChannelsIsThatOfTheWholeAndOfNothingElse) {
  std::mt19937 rng(7);
  const std::vector<int64_t> channels{1, 2, 6};
  for (const Shape& shape : {Shape{1, 1, 8, 24}, Shape{3, 3, 7, 5}, Shape{3, 3, 9}}) {
    for (const int64_t stochastic : {0, 1}) {
      const auto w = random_weights(rng, shape);
      auto again = std::make_shared<Tensor>(w->type());
      std::ranges::copy(w->bytes(), again->bytes().begin());
      const size_t dimension = input_channel_dimension(w->type());
      Shape part_shape = shape;
      part_shape[dimension] = 3;
      Graph graph;
      const ValueId g = graph.add_input("g", {DType::kF32, shape});
      const ValueId part = graph.add_input("part", {DType::kF32, part_shape});
      const ValueId rate = graph.add_input("rate", {DType::kF32, {1}});
      const ValueId p = graph.add_persistent("p", Role::kWeight, w);
      const ValueId q = graph.add_persistent("q", Role::kWeight, again);
      Attributes update{{"qas", int64_t{1}}, {"stochastic", stochastic}};
      emit_all(graph, kQSgdUpdate, "p", {p, g, rate, rate}, update, Phase::kUpdate);
      update.set("channels", channels);
      emit_all(graph, kQSgdUpdate, "q", {q, part, rate, rate}, update, Phase::kUpdate);
      Executor executor(graph);
      const Numbers gradient = random_numbers(rng, w->type().elements(), 5.0f);
      write(executor, g, gradient);
      write(executor, part, gathered(gradient, shape, dimension, channels));
      write(executor, rate, {0.1f});
      std::vector<float> before(gradient.size()), want(gradient.size()), got(gradient.size());
      unpack(*again, before);
      executor.step();
      unpack(*w, want);
      unpack(*again, got);
      EXPECT_NE(before, want);
      const AxisView view = axes_view(shape, dimension, dimension + 1);
      for (size_t i = 0; i < got.size(); ++i) {
        const int64_t channel = static_cast<int64_t>(i) / view.inner % view.size;
        EXPECT_EQ(got[i], std::ranges::count(channels, channel) > 0 ? want[i] : before[i]) << i;
      }
    }
  }
}

TEST(IntegerUpdate, OfA1x1KernelAtOnceIsThatOfItsGradient) {
  std::mt19937 rng(4);
  for (const int64_t stochastic : {0, 1}) {
    for (const Shape& shape : {Shape{1, 1, 40, 24}, Shape{1, 1, 7, 200}}) {
      const Shape x_shape{2, 9, 13, shape[2]}, dy_shape{2, 9, 13, shape[3]};
      const auto w = random_weights(rng, shape);
      auto again = std::make_shared<Tensor>(w->type());
      std::ranges::copy(w->bytes(), again->bytes().begin());
      Graph graph;
      const ValueId x = graph.add_input("x", {DType::kF32, x_shape});
      const ValueId dy = graph.add_input("dy", {DType::kF32, dy_shape});
      const ValueId rate = graph.add_input("rate", {DType::kF32, {1}});
      const ValueId p = graph.add_persistent("p", Role::kWeight, w);
      const ValueId q = graph.add_persistent("q", Role::kWeight, again);
      const ValueId levels =
          emit(graph, kQuantize, "x", {x}, {{"y_scale", kXScale}, {"y_zero", kXZero}});
      Attributes attributes = conv({1, 1}, {0, 0, 0, 0}, 1);
      attributes.set("shape", shape);
      attributes.set("x_scale", kXScale);
      attributes.set("x_zero", kXZero);
      const ValueId g = emit(graph, kQConv2dGradWeight, "g", {levels, dy}, attributes);
      const Attributes update{{"qas", int64_t{1}},
                              {"stochastic", stochastic},
                              {"x_scale", kXScale},
                              {"x_zero", kXZero}};
      emit_all(graph, kQSgdUpdate, "p", {p, g, rate, rate}, update, Phase::kUpdate);
      emit_all(graph, kQWeightSgdUpdate, "q", {q, rate, rate, levels, dy}, update, Phase::kUpdate);
      // Of some input channels.
      const Ints some{0, 3, 4};
      auto third = std::make_shared<Tensor>(w->type());
      std::ranges::copy(w->bytes(), third->bytes().begin());
      const ValueId r = graph.add_persistent("r", Role::kWeight, third);
      const ValueId part =
          emit(graph, kGather, "part", {levels}, {{"axis", int64_t{3}}, {"indices", some}});
      Attributes of_some = update;
      of_some.set("channels", some);
      emit_all(graph, kQWeightSgdUpdate, "r", {r, rate, rate, part, dy}, of_some, Phase::kUpdate);
      Executor executor(graph);
      write(executor, x, random_numbers(rng, graph.value(x).type.elements(), 6.0f));
      write(executor, dy, random_numbers(rng, graph.value(dy).type.elements(), 0.5f));
      write(executor, rate, {0.02f});
      const std::vector<std::byte> before(w->bytes().begin(), w->bytes().end());
      executor.step();
      const auto* const a = reinterpret_cast<const int8_t*>(w->bytes().data());
      const auto* const b = reinterpret_cast<const int8_t*>(again->bytes().data());
      int64_t moved = 0, differ = 0;
      for (int64_t i = 0; i < w->type().elements(); ++i) {
        moved += a[i] != static_cast<int8_t>(before[static_cast<size_t>(i)]);
        differ += a[i] != b[i];
      }
      EXPECT_GT(moved, w->type().elements() / 2);
      // Sums are taken in another order, which turns a tie or a hash now and then.
      EXPECT_LE(differ, stochastic != 0 ? w->type().elements() : 2);
      EXPECT_TRUE(std::equal(scales(*w), scales(*w) + shape.back(), scales(*again)));
      const auto* const c = reinterpret_cast<const int8_t*>(third->bytes().data());
      for (int64_t i = 0, turned = 0; i < w->type().elements(); ++i) {
        const bool trains = std::ranges::count(some, i / shape[3]) > 0;
        const auto want = trains ? a[i] : static_cast<int8_t>(before[static_cast<size_t>(i)]);
        if (trains && c[i] != want) ++turned;
        ASSERT_TRUE(trains || c[i] == want) << i;
        ASSERT_LE(turned, stochastic != 0 ? 3 * shape[3] : 2);
      }
    }
  }
}

TEST(IntegerOps, AddAndGlobalAverageAreNearThoseOfFloats) {
  std::mt19937 rng(5);
  Graph graph;
  const TensorType type{DType::kF32, {2, 5, 3, 8}};
  const ValueId a = graph.add_input("a", type), b = graph.add_input("b", type);
  const ValueId a8 = emit(graph, kQuantize, "a", {a}, {{"y_scale", 0.05f}, {"y_zero", kXZero}});
  const ValueId b8 = emit(graph, kQuantize, "b", {b}, {{"y_scale", 0.02f}, {"y_zero", int64_t{3}}});
  Attributes attributes = with_levels({}, 0);
  attributes.set("a_scale", 0.05f);
  attributes.set("a_zero", kXZero);
  attributes.set("b_scale", 0.02f);
  attributes.set("b_zero", int64_t{3});
  const ValueId sum8 = emit(graph, kQAdd, "sum", {a8, b8}, attributes);
  const ValueId sum =
      emit(graph, kDequantize, "sum", {sum8}, {{"x_scale", kYScale}, {"x_zero", kYZero}});
  const ValueId mean8 = emit(graph, kQGlobalAveragePool, "mean", {a8}, with_levels({}, 1));
  const ValueId mean =
      emit(graph, kDequantize, "mean", {mean8}, {{"x_scale", kYScale}, {"x_zero", kYZero}});
  graph.outputs = {sum, mean};
  Executor executor(graph);
  const Numbers x = random_numbers(rng, type.elements(), 3), y = random_numbers(rng, 240, 2);
  write(executor, a, x);
  write(executor, b, y);
  executor.step();
  const float low = (kLow - kYZero) * kYScale, high = (kHigh - kYZero) * kYScale;
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_NEAR(executor.f32(sum)[i], std::clamp(x[i] + y[i], low, high),
                0.5f * (0.05f + 0.02f + kYScale) + 1e-5f);
  }
  for (size_t n = 0; n < 2; ++n) {
    for (size_t c = 0; c < 8; ++c) {
      float total = 0;
      for (size_t i = 0; i < 15; ++i) total += x[(n * 15 + i) * 8 + c];
      ASSERT_NEAR(executor.f32(mean)[n * 8 + c], std::clamp(total / 15, low, high),
                  0.5f * (0.05f + kYScale) + 1e-5f);
    }
  }
}

TEST(IntegerOps, GradientsOfSumsMeansAndRoundingPassWithinTheLimits) {
  Graph graph;
  const TensorType type{DType::kF32, {1, 2, 2, 8}};
  const ValueId x = graph.add_input("x", type);
  const ValueId dy = graph.add_input("dy", {DType::kF32, {1, 1, 1, 8}});
  const ValueId levels =
      emit(graph, kQuantize, "x", {x}, {{"y_scale", 1.0f}, {"y_zero", int64_t{0}}});
  Attributes attributes = with_levels({}, 0);
  attributes.set("x_scale", 1.0f);
  attributes.set("x_zero", int64_t{0});
  attributes.set("y_scale", 1.0f);
  attributes.set("y_zero", int64_t{0});
  attributes.set("y_low", int64_t{-20});
  attributes.set("y_high", int64_t{20});
  const ValueId mean = emit(graph, kQGlobalAveragePool, "mean", {levels}, attributes);
  GradBuilder of_mean(graph, graph.value(mean).producer, {true}, {dy});
  of_mean.node().op->vjp(of_mean);
  GradBuilder of_rounding(graph, graph.value(levels).producer, {true}, {*of_mean.gradients()[0]});
  of_rounding.node().op->vjp(of_rounding);
  const ValueId dx = *of_rounding.gradients()[0];
  graph.outputs = {dx};
  Executor executor(graph);
  Numbers values(32, 8.0f);
  values[3] = 500;       // beyond the levels of x; its channel's mean is beyond the limit, too
  values[4 + 8] = -120;  // the mean of channel 4 is at the lower limit
  write(executor, x, values);
  write(executor, dy, {4, 4, 4, 4, 4, 4, 4, 8});
  executor.step();
  const Numbers got = read(executor, dx);
  for (size_t i = 0; i < got.size(); ++i) {
    const size_t c = i % 8;
    EXPECT_EQ(got[i], c == 3 || c == 4 ? 0.0f : c == 7 ? 2.0f : 1.0f) << i;
  }
}

TEST(IntegerOps, RefuseWhatIsNoLevel) {
  std::mt19937 rng(6);
  const Layer layer(layer_cases()[0], rng);
  Graph graph = layer.graph;
  EXPECT_THROW(emit(graph, kQConv2d, "f32", {layer.x, layer.weight},
                    with_levels(conv({1, 1}, {0, 0, 0, 0}, 1), 0)),
               InputError);
  Attributes wide = with_levels(conv({1, 1}, {0, 0, 0, 0}, 1), 0);
  wide.set("y_high", int64_t{128});
  EXPECT_THROW(emit(graph, kQConv2d, "wide", {layer.levels, layer.weight}, wide), InputError);
}

}  // namespace
}  // namespace tinytl

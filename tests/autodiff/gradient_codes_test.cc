// Gradients in 8 bits: the same network with a smaller arena, and gradients that come near.

#include "autodiff/gradient_codes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "engine/ops/op_table.h"
#include "engine/ops/passes.h"
#include "engine/runtime/executor.h"

namespace tinytl {
namespace {

using Ints = std::vector<int64_t>;

constexpr float kScale = 0.05f;
constexpr int64_t kZero = -4;

// An inverted residual network of 8-bit integers, of random weights.
class IntegerNetwork {
 public:
  IntegerNetwork() {
    const ValueId image = graph.add_input("image", {DType::kF32, {2, 24, 24, 3}});
    ValueId x = emit(graph, kQuantize, "image", {image}, {{"y_scale", kScale}, {"y_zero", kZero}});
    x = conv(x, "stem", 3, 2, 16, true);
    for (const char* name : {"first", "second"}) {
      const ValueId wide = conv(x, name + std::string(".expand"), 1, 1, 48, true);
      const ValueId deep = depthwise(wide, name + std::string(".depthwise"), 3);
      const ValueId narrow = conv(deep, name + std::string(".project"), 1, 1, 16, false);
      Attributes sum = levels(false);
      sum.set("a_scale", kScale);
      sum.set("a_zero", kZero);
      sum.set("b_scale", kScale);
      sum.set("b_zero", kZero);
      x = emit(graph, kQAdd, name, {x, narrow}, sum);
    }
    x = conv(x, "last", 1, 1, 32, true);
    Attributes pool = levels(false);
    x = emit(graph, kQGlobalAveragePool, "pool", {x}, pool);
    x = emit(graph, kDequantize, "features", {x}, {{"x_scale", kScale}, {"x_zero", kZero}});
    x = emit(graph, kReshape, "features", {x}, {{"shape", Ints{2, 32}}});
    graph.outputs = {emit(graph, kLinear, "head", {x, floats("head.weight", {32, 5})})};
  }

  Graph graph;
  UpdateScheme scheme;

 private:
  static Attributes levels(bool clips) {
    return {{"x_scale", kScale},
            {"x_zero", kZero},
            {"y_scale", kScale},
            {"y_zero", kZero},
            {"y_low", clips ? kZero : -128},
            {"y_high", int64_t{127}},
            {"fixed_point", int64_t{0}}};
  }

  ValueId trained(ValueId id) {
    scheme.parameters.push_back({id});
    return id;
  }

  ValueId floats(const std::string& name, Shape shape) {
    auto w = std::make_shared<Tensor>(TensorType{DType::kF32, std::move(shape)});
    std::normal_distribution<float> normal(0, 0.3f);
    for (float& v : w->f32()) v = normal(rng_);
    return trained(graph.add_persistent(name, Role::kWeight, w));
  }

  // So that y is about as large as x.
  ValueId weights(const std::string& name, Shape shape, int64_t fan_in) {
    auto w = std::make_shared<Tensor>(TensorType{DType::kQ8, std::move(shape)});
    auto* const codes = reinterpret_cast<int8_t*>(w->bytes().data());
    for (int64_t i = 0; i < w->type().elements(); ++i) {
      codes[i] = static_cast<int8_t>(static_cast<int>(rng_() % 255) - 127);
    }
    auto* const scale = reinterpret_cast<float*>(w->bytes().data() + w->type().scale_offset());
    const float one = 1 / (74 * std::sqrt(static_cast<float>(fan_in)));
    std::fill_n(scale, w->type().shape.back(), 1.4f * one);
    return trained(graph.add_persistent(name + ".weight", Role::kWeight, w));
  }

  ValueId bias(const std::string& name, int64_t channels) {
    auto b = std::make_shared<Tensor>(TensorType{DType::kI32, {channels}});
    return trained(graph.add_persistent(name + ".bias", Role::kBias, b));
  }

  static Attributes layer(int64_t kernel, int64_t stride, bool clips) {
    Attributes a = levels(clips);
    const int64_t pad = kernel / 2;
    a.set("strides", Ints{stride, stride});
    a.set("pads", Ints{pad, pad, pad, pad});
    a.set("dilations", Ints{1, 1});
    a.set("groups", int64_t{1});
    return a;
  }

  ValueId conv(ValueId x, const std::string& name, int64_t kernel, int64_t stride, int64_t channels,
               bool clips) {
    const int64_t in = graph.value(x).type.dim(3);
    const ValueId w = weights(name, {kernel, kernel, in, channels}, kernel * kernel * in);
    const ValueId b = bias(name, channels);
    return emit(graph, kQConv2d, name, {x, w, b}, layer(kernel, stride, clips));
  }

  ValueId depthwise(ValueId x, const std::string& name, int64_t kernel) {
    const int64_t channels = graph.value(x).type.dim(3);
    const ValueId w = weights(name, {kernel, kernel, channels}, kernel * kernel);
    const ValueId b = bias(name, channels);
    return emit(graph, kQDepthwiseConv2d, name, {x, w, b}, layer(kernel, 1, true));
  }

  std::mt19937 rng_{5};
};

GradientGraph full_update(bool in_8_bits) {
  const IntegerNetwork network;
  GradientGraph g = differentiate(network.graph, {}, network.scheme);
  if (in_8_bits) hold_gradients_in_8_bits(g);
  verify(g.graph);
  return g;
}

struct Result {
  float loss = 0;
  std::vector<std::vector<float>> gradients;
};

Result run(GradientGraph g, int threads = 1, bool fuse = true) {
  for (const ParameterGradient& p : g.gradients) g.graph.outputs.push_back(p.gradient);
  ExecutorOptions options;
  options.threads = threads == 1 ? nullptr : std::make_shared<ThreadPool>(threads);
  Executor executor(compile(g.graph, *tt_best_kernels(), {.fuse = fuse, .threads = threads}),
                    options);
  std::mt19937 rng(3);
  std::normal_distribution<float> normal;
  for (float& v : executor.f32(g.graph.inputs[0])) v = normal(rng);
  for (int32_t& v : executor.i32(g.target)) v = static_cast<int32_t>(rng() % 5);
  executor.step();
  Result result{executor.f32(g.loss)[0], {}};
  for (const ParameterGradient& p : g.gradients) {
    const auto values = executor.f32(p.gradient);
    result.gradients.emplace_back(values.begin(), values.end());
  }
  return result;
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double product = 0, of_a = 0, of_b = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    product += double{a[i]} * double{b[i]};
    of_a += double{a[i]} * double{a[i]};
    of_b += double{b[i]} * double{b[i]};
  }
  return product / std::sqrt(of_a * of_b);
}

TEST(GradientCodes, EveryGradientPointsWhereThatOfFloatsDoes) {
  const Result floats = run(full_update(false)), codes = run(full_update(true));
  EXPECT_EQ(codes.loss, floats.loss);
  ASSERT_EQ(codes.gradients.size(), floats.gradients.size());
  for (size_t p = 0; p < floats.gradients.size(); ++p) {
    EXPECT_GT(cosine(codes.gradients[p], floats.gradients[p]), 0.99) << p;
  }
}

TEST(GradientCodes, NeitherThreadsNorFusionChangeABit) {
  const Result want = run(full_update(true));
  for (const int threads : {1, 2, 3}) {
    for (const bool fuse : {false, true}) {
      EXPECT_EQ(run(full_update(true), threads, fuse).gradients, want.gradients)
          << threads << (fuse ? ", fused" : "");
    }
  }
}

TEST(GradientCodes, HoldWhatFlowsBetweenLayersAndNothingElse) {
  const GradientGraph floats = full_update(false), g = full_update(true);
  size_t coded = 0, masks = 0;
  for (const Node& node : g.graph.nodes()) {
    if (node.op == &kConv2dGradInput || node.op == &kDepthwiseConv2dGradInput ||
        node.op == &kPointwiseAccumulate) {
      EXPECT_EQ(g.graph.value(node.output()).type.dtype, DType::kRow8) << node.name;
      ++coded;
    }
    masks += node.op == &kMaskApply;
  }
  EXPECT_EQ(coded, 7u);
  // Around the pool, and of the sums' second operands; others are part of what they are applied to.
  EXPECT_EQ(masks, 4u);
  for (const ParameterGradient& p : g.gradients) {
    EXPECT_EQ(g.graph.value(p.gradient).type.dtype, DType::kF32);
  }
}

TEST(GradientCodes, ArenaIsSmaller) {
  const auto arena = [](const GradientGraph& g) {
    return compile(g.graph, *tt_best_kernels()).plan.arena_bytes;
  };
  EXPECT_LT(arena(full_update(true)), arena(full_update(false)) * 3 / 4);
}

}  // namespace
}  // namespace tinytl

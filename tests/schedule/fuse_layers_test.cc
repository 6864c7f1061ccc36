// Layers and their ends in one node: which ones, that no bit changes, and that no memory is lost.

#include "engine/schedule/fuse_layers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "engine/onnx/import.h"
#include "engine/ops/op_helpers.h"
#include "engine/ops/passes.h"
#include "engine/runtime/executor.h"
#include "optim/optimizer.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

int64_t count(const Graph& graph, const OpDef& op) {
  return std::ranges::count_if(graph.nodes(), [&](const Node& node) { return node.op == &op; });
}

int64_t count_with(const Graph& graph, const char* attribute) {
  return std::ranges::count_if(graph.nodes(),
                               [&](const Node& node) { return node.attributes.has(attribute); });
}

Program program_of(const Graph& graph, bool fuse, bool updates_last = false) {
  return compile(graph, *tt_best_kernels(), {.updates_last = updates_last, .fuse = fuse});
}

UpdateScheme scheme_of(const Graph& graph, bool biases_only) {
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(graph)) {
    if (!biases_only || graph.value(id).role == Role::kBias) scheme.parameters.push_back({id});
  }
  return scheme;
}

TrainingGraph training_of(const Graph& model, bool biases_only, int accumulation_steps = 1) {
  return append_updates(
      differentiate(model, {}, scheme_of(model, biases_only)),
      {.kind = OptimizerOptions::Kind::kSgd, .accumulation_steps = accumulation_steps});
}

// Outputs, parameters and state after some steps.
std::vector<float> run(const Graph& graph, const tt_kernels& kernels,
                       const ScheduleOptions& options, int updates_every = 1) {
  Executor executor(compile(with_own_tensors(graph), kernels, options),
                    {.kernels = &kernels, .arena = nullptr});
  std::vector<float> all;
  for (uint32_t step = 0; step < 4; ++step) {
    for (const ValueId id : graph.inputs) {
      std::mt19937 rng(step + 7);
      if (graph.value(id).type.dtype == DType::kI32) {
        for (int32_t& v : executor.i32(id)) v = static_cast<int32_t>(rng() % 5);
      } else {
        for (float& v : executor.f32(id)) v = static_cast<float>(rng() % 1000) / 500.0f - 1.0f;
      }
    }
    executor.step((step + 1) % static_cast<uint32_t>(updates_every) == 0);
    for (const ValueId id : graph.outputs) {
      all.insert(all.end(), executor.f32(id).begin(), executor.f32(id).end());
    }
  }
  for (const Value& value : graph.values()) {
    if (!is_persistent(value.role)) continue;
    const auto data = executor.f32(id_of(graph, value));
    all.insert(all.end(), data.begin(), data.end());
  }
  return all;
}

void expect_same_bits(const Graph& graph) {
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    SCOPED_TRACE(kernels->name);
    const auto together = run(graph, *kernels, {}), apart = run(graph, *kernels, {.fuse = false});
    ASSERT_EQ(together.size(), apart.size());
    EXPECT_EQ(std::memcmp(together.data(), apart.data(), apart.size() * sizeof(float)), 0);
  }
}

void expect_no_more_memory(const Graph& graph) {
  const Program together = program_of(graph, true), apart = program_of(graph, false);
  EXPECT_LE(together.plan.lower_bound_bytes, apart.plan.lower_bound_bytes);
  EXPECT_LE(together.plan.arena_bytes, apart.plan.arena_bytes);
}

Graph golden(const std::string& name) {
  return import_onnx(std::string(TINYTL_GOLDEN) + "/" + name + ".onnx", {.batch = 3});
}

TEST(FuseLayers, LeavesNoClipInASmallNetwork) {
  const Graph model = small_cnn(2);
  const Program together = program_of(model, true);
  EXPECT_EQ(count(model, kClip), 5);
  EXPECT_EQ(count(together.graph, kClip), 0);
  EXPECT_EQ(count_with(together.graph, "low"), 5);
  EXPECT_EQ(together.schedule.order.size(), together.graph.nodes().size());
  EXPECT_EQ(together.graph.nodes().size() + 5, model.nodes().size());
  verify(together.graph);
  expect_same_bits(model);
  expect_no_more_memory(model);
}

TEST(FuseLayers, FusesMasksInABiasUpdateOfASmallNetwork) {
  const Graph graph = training_of(small_cnn(2), /*biases_only=*/true).graph;
  const Program together = program_of(graph, true);
  verify(together.graph);
  EXPECT_EQ(count(graph, kMaskApply), 5);
  EXPECT_EQ(count(together.graph, kMaskApply), 0);
  EXPECT_EQ(count_with(together.graph, "keep"), 5);
  EXPECT_GT(count_with(together.graph, "mask"), 0);  // where its bytes have room
  EXPECT_EQ(count_with(together.graph, "mask") + count(together.graph, kClipMask), 5);
  expect_same_bits(graph);
  expect_no_more_memory(graph);
}

TEST(FuseLayers, FusesKeptValuesInAFullUpdate) {
  const Graph graph = training_of(small_cnn(2), /*biases_only=*/false).graph;
  const Program together = program_of(graph, true);
  EXPECT_GT(count(graph, kClipGrad), 0);
  EXPECT_EQ(count(together.graph, kClipGrad), 0);
  expect_same_bits(graph);
  expect_no_more_memory(graph);
}

TEST(FuseLayers, AddsGradientsOfWeightsToTheirSums) {
  constexpr int kSteps = 2;
  const Graph graph = training_of(small_cnn(2), /*biases_only=*/false, kSteps).graph;
  const Program together = program_of(graph, true, /*updates_last=*/true);
  verify(together.graph);
  EXPECT_EQ(count(together.graph, kConv2dGradWeightAdd), count(graph, kConv2dGradWeight));
  EXPECT_EQ(count(together.graph, kDepthwiseConv2dGradWeightAdd),
            count(graph, kDepthwiseConv2dGradWeight));
  EXPECT_GT(count(together.graph, kDepthwiseConv2dGradWeightAdd), 0);
  for (size_t s = 0; s < together.schedule.order.size(); ++s) {
    EXPECT_EQ(together.graph.node(together.schedule.order[s]).phase == Phase::kUpdate,
              s >= together.schedule.first_update);
  }
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    const auto one = run(graph, *kernels, {.updates_last = true}, kSteps);
    const auto other = run(graph, *kernels, {.updates_last = true, .fuse = false}, kSteps);
    ASSERT_EQ(one.size(), other.size());
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_NEAR(one[i], other[i], 1e-5f * std::max(1.0f, std::abs(other[i]))) << i;
    }
  }
}

TEST(FuseLayers, ChangesNoBitOfGoldenNetworks) {
  for (const char* name : {"mobilenet_small", "resnet_small", "transformer_small"}) {
    SCOPED_TRACE(name);
    const Graph model = golden(name);
    expect_same_bits(model);
    expect_no_more_memory(model);
    for (const bool biases_only : {true, false}) {
      const Graph graph = training_of(model, biases_only).graph;
      verify(program_of(graph, true).graph);
      expect_same_bits(graph);
      expect_no_more_memory(graph);
    }
  }
}

// A part of the input channels of each weight trains, by every optimizer that has an update of
// its own for 1x1 kernels.
TEST(FuseLayers, UpdatesPartsOfWeightsWhereTheirGradientIsComputed) {
  using Kind = OptimizerOptions::Kind;
  const Graph model = golden("mobilenet_small");
  UpdateScheme scheme = scheme_of(model, /*biases_only=*/false);
  for (TrainedParameter& p : scheme.parameters) {
    const TensorType& type = model.value(p.parameter).type;
    if (type.rank() == 4 && type.dim(2) > 2) p.channels = {0, 2};
  }
  for (const OptimizerOptions& options :
       {OptimizerOptions{.kind = Kind::kSgd}, OptimizerOptions{.kind = Kind::kSgd, .momentum = 0},
        OptimizerOptions{.kind = Kind::kAdam}}) {
    const Graph graph = append_updates(differentiate(model, {}, scheme), options).graph;
    const Graph fused = program_of(graph, true).graph;
    int64_t of_parts = 0;
    for (const Node& node : fused.nodes()) {
      of_parts += (node.op == &kWeightSgdUpdate || node.op == &kWeightAdamUpdate) &&
                  node.attributes.has("channels");
    }
    EXPECT_GT(of_parts, 0);
    expect_same_bits(graph);
    expect_no_more_memory(graph);
  }
}

class LayerPattern : public testing::Test {
 protected:
  ValueId input(Shape shape) {
    return g_.add_input(std::to_string(g_.inputs.size()), {DType::kF32, std::move(shape)});
  }
  ValueId conv(ValueId x, int64_t channels) {
    return convolution(g_, std::to_string(g_.nodes().size()), x, channels, /*kernel=*/1);
  }
  ValueId mask(ValueId y) {
    return emit(g_, kClipMask, "mask", {y}, {{"low", 0.0f}, {"high", 6.0f}}, Phase::kBackward);
  }
  Program compiled() { return program_of(g_, true); }
  Graph g_;
};

TEST_F(LayerPattern, ALayerThatIsReadTwiceKeepsItsClip) {
  const ValueId y = conv(input({1, 4, 4, 8}), 8), z = relu6(g_, "clip", y);
  g_.outputs = {emit(g_, kMul, "mul", {z, y})};
  EXPECT_EQ(count(compiled().graph, kClip), 1);
}

TEST_F(LayerPattern, ALayerThatIsAnOutputKeepsItsClip) {
  const ValueId y = conv(input({1, 4, 4, 8}), 8);
  g_.outputs = {relu6(g_, "clip", y), y};
  EXPECT_EQ(count(compiled().graph, kClip), 1);
}

TEST_F(LayerPattern, TheSecondClipStays) {
  const ValueId y = conv(input({1, 4, 4, 8}), 8);
  g_.outputs = {relu6(g_, "two", relu6(g_, "one", y))};
  EXPECT_EQ(count(compiled().graph, kClip), 1);
}

TEST_F(LayerPattern, ASumThatBroadcastsKeepsItsClip) {
  const ValueId x = input({1, 4, 4, 8}), b = input({8});
  g_.outputs = {relu6(g_, "clip", emit(g_, kAdd, "add", {x, b}))};
  EXPECT_EQ(count(compiled().graph, kClip), 1);
}

TEST_F(LayerPattern, AResidualSumTakesItsClip) {
  const ValueId x = input({1, 4, 4, 8}), y = input({1, 4, 4, 8});
  g_.outputs = {relu6(g_, "clip", emit(g_, kAdd, "add", {x, y}))};
  EXPECT_EQ(count(compiled().graph, kClip), 0);
  expect_same_bits(g_);
}

// A mask is fused only where its channels fill bytes, and where its bytes have room: not where the
// layer itself is the fullest step.
TEST_F(LayerPattern, AMaskWithoutRoomIsWrittenLater) {
  const ValueId y = relu6(g_, "clip", conv(input({1, 16, 16, 8}), 32));
  g_.outputs = {mask(y), emit(g_, kReduceMean, "mean", {y},
                              {{"axes", std::vector<int64_t>{1, 2}}, {"keepdims", int64_t{0}}})};
  const Program program = compiled();
  EXPECT_EQ(count(program.graph, kClip), 0);
  EXPECT_EQ(count(program.graph, kClipMask), 1);
  expect_no_more_memory(g_);
}

TEST_F(LayerPattern, AMaskOfOddChannelsIsWrittenLater) {
  const ValueId wide = conv(input({1, 4, 4, 8}), 64);  // the fullest step
  const ValueId y = relu6(g_, "clip", conv(conv(wide, 8), 6));
  g_.outputs = {mask(y), emit(g_, kTanh, "tanh", {y})};
  EXPECT_EQ(count(compiled().graph, kClipMask), 1);
}

TEST_F(LayerPattern, AMaskWithRoomIsWrittenByTheLayer) {
  const ValueId wide = conv(input({1, 4, 4, 8}), 64);  // the fullest step
  const ValueId y = relu6(g_, "clip", conv(conv(wide, 8), 8));
  g_.outputs = {mask(y), emit(g_, kTanh, "tanh", {y})};
  const Program program = compiled();
  EXPECT_EQ(count(program.graph, kClipMask), 0);
  EXPECT_EQ(count_with(program.graph, "mask"), 1);
  EXPECT_EQ(program.graph.outputs, g_.outputs);
}

}  // namespace
}  // namespace tinytl

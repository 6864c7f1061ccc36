// Running parts of a network in pieces changes memory, not numbers.

#include "engine/schedule/tile.h"

#include <gmock/gmock.h>

#include <cmath>

#include "autodiff/differentiate.h"
#include "engine/ops/passes.h"
#include "engine/runtime/executor.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

std::vector<float> run(Executor& executor, ValueId output, int classes) {
  std::mt19937 rng(3);
  for (const ValueId id : executor.graph().inputs) {
    if (executor.graph().value(id).type.dtype == DType::kI32) {
      for (int32_t& v : executor.i32(id)) v = static_cast<int32_t>(rng() % uint32_t(classes));
    } else {
      for (float& v : executor.f32(id)) v = static_cast<float>(rng() % 1000) / 500.0f - 1.0f;
    }
  }
  executor.step();
  const auto y = executor.f32(output);
  return {y.begin(), y.end()};
}

std::vector<float> output_of(const Graph& graph, const tt_kernels& kernels) {
  Executor executor(graph, {.kernels = &kernels});
  return run(executor, graph.outputs[0], 1);
}

// Loss, then the gradient of every parameter.
std::vector<std::vector<float>> gradients_of(const Graph& model, const tt_kernels& kernels) {
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(model)) scheme.parameters.push_back({id});
  GradientGraph g = differentiate(model, {}, scheme);
  std::map<std::string, ValueId> by_name{{"", g.loss}};
  for (const ParameterGradient& p : g.gradients) {
    by_name[g.graph.value(p.parameter).name] = p.gradient;
    g.graph.outputs.push_back(p.gradient);
  }
  Executor executor(g.graph, {.kernels = &kernels});
  std::vector<std::vector<float>> result;
  run(executor, g.loss, 5);
  for (const auto& [name, id] : by_name) {
    result.emplace_back(executor.f32(id).begin(), executor.f32(id).end());
  }
  return result;
}

// Against the largest entry: sums are in another order.
void expect_near(const std::vector<float>& got, const std::vector<float>& want) {
  ASSERT_EQ(got.size(), want.size());
  float largest = 0, difference = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    largest = std::max(largest, std::abs(want[i]));
    difference = std::max(difference, std::abs(got[i] - want[i]));
  }
  EXPECT_LE(difference, 1e-6f * std::max(largest, 1e-3f));
}

void expect_same_gradients(const Graph& tiled, const Graph& model, const tt_kernels& kernels) {
  const auto got = gradients_of(tiled, kernels), want = gradients_of(model, kernels);
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) expect_near(got[i], want[i]);
}

Graph bottleneck(int64_t batch, int64_t size, int64_t channels) {
  Graph g;
  ValueId x = g.add_input("x", {DType::kF32, {batch, size, size, 8}});
  x = convolution(g, "narrow", x, 8, 1);
  x = relu6(g, "a", convolution(g, "expand", x, channels, 1));
  x = relu6(g, "b", convolution(g, "spatial", x, channels, 3));
  x = convolution(g, "project", x, 8, 1);
  g.outputs = {x};
  return g;
}

TEST(Regions, OfASmallNetwork) {
  const Graph g = small_cnn(1);
  size_t channels = 0;
  for (const Region& region : find_regions(g)) {
    for (size_t i = 1; i < region.nodes.size(); ++i) {
      const ValueId x = g.node(region.nodes[i]).input(0);
      EXPECT_EQ(g.value(x).producer, region.nodes[i - 1]);
      EXPECT_EQ(readers(g)[index(x)].size(), 1u);
    }
    const Shape& y = g.value(g.node(region.nodes.back()).output()).type.shape;
    if (region.cut == Cut::kRows) {
      EXPECT_EQ(region.extent, y[1]);
    }
    channels += region.cut == Cut::kChannels;
  }
  EXPECT_EQ(channels, 2u);  // its two blocks
}

TEST(Regions, NoneAcrossAnOutput) {
  Graph g = bottleneck(1, 4, 16);
  const size_t before = find_regions(g).size();
  for (const Node& node : g.nodes()) g.outputs.push_back(node.output());
  EXPECT_GT(before, 0u);
  EXPECT_TRUE(find_regions(g).empty());
}

TEST(Tile, EveryRegionInEveryNumberOfPieces) {
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    for (const int64_t batch : {1, 2}) {
      const Graph model = small_cnn(batch);
      const auto want = output_of(model, *kernels);
      for (const Region& region : find_regions(model)) {
        for (const int64_t pieces : {int64_t{1}, int64_t{2}, int64_t{3}, region.extent}) {
          SCOPED_TRACE(testing::Message() << model.node(region.nodes[0]).name << " in " << pieces);
          const Graph tiled = tile(model, std::vector{Tiling{region, pieces}});
          verify(tiled);
          const auto got = output_of(tiled, *kernels);
          expect_near(got, want);
          if (region.cut == Cut::kRows && kernels == &tt_portable_kernels) {
            EXPECT_EQ(got, want);
          }
          expect_same_gradients(tiled, model, *kernels);
        }
      }
    }
  }
}

// A chain of convolutions of random shapes, each with its own pads, strides and dilations.
Graph random_chain(std::mt19937& rng) {
  const auto below = [&](int64_t n) { return static_cast<int64_t>(rng() % uint32_t(n)); };
  Graph g;
  int64_t height = 9 + below(24), width = 5 + below(5), channels = 1 + below(5);
  ValueId x = g.add_input("x", {DType::kF32, {1 + below(2), height, width, channels}});
  for (int layer = 0; layer < 4; ++layer) {
    const std::string name = std::to_string(layer) + ".conv";
    const int64_t kernel = 1 + below(4), dilation = 1 + below(2);
    const int64_t span = dilation * (kernel - 1) + 1;
    const int64_t stride = 1 + below(height > 12 ? 3 : 1);
    const Shape pads{below(span), span / 2, below(span), span / 2};
    if (height + pads[0] + pads[2] < span || width + 2 * (span / 2) < span) continue;
    const bool depthwise = below(2) == 0;
    const int64_t outputs = depthwise ? channels : 1 + below(6);
    const ValueId w = depthwise
                          ? add_weight(g, name + ".w", {kernel, kernel, channels}, rng())
                          : add_weight(g, name + ".w", {kernel, kernel, channels, outputs}, rng());
    const ValueId b = add_bias(g, name + ".b", {outputs}, rng());
    Attributes attributes{{"strides", Shape{stride, 1}},
                          {"pads", pads},
                          {"dilations", Shape{dilation, dilation}},
                          {"groups", int64_t{1}}};
    x = emit(g, depthwise ? kDepthwiseConv2d : kConv2d, name, {x, w, b}, attributes);
    if (below(2) == 0) x = relu6(g, name + ".relu6", x);
    height = g.value(x).type.dim(1);
    width = g.value(x).type.dim(2);
    channels = outputs;
  }
  g.outputs = {x};
  return g;
}

TEST(Tile, StripsOfRandomConvolutionsHaveTheSameBits) {
  std::mt19937 rng(5);
  size_t tiled_count = 0;
  for (int trial = 0; trial < 300; ++trial) {
    SCOPED_TRACE(trial);
    const Graph model = random_chain(rng);
    for (const Region& region : find_regions(model)) {
      if (region.cut != Cut::kRows || region.extent < 2) continue;
      const int64_t pieces = 2 + static_cast<int64_t>(rng() % uint32_t(region.extent - 1));
      const Graph tiled = tile(model, std::vector{Tiling{region, pieces}});
      verify(tiled);
      EXPECT_EQ(output_of(tiled, tt_portable_kernels), output_of(model, tt_portable_kernels));
      ++tiled_count;
    }
  }
  EXPECT_GT(tiled_count, 100u);
}

TEST(Tile, GroupsOfChannelsNeedLessMemory) {
  const Graph model = bottleneck(1, 16, 64);
  const auto arena = [](const Graph& g) {
    return compile(g, tt_portable_kernels).plan.arena_bytes;
  };
  for (const Region& region : find_regions(model)) {
    if (model.node(region.nodes[0]).name != "spatial") continue;
    EXPECT_LT(arena(tile(model, std::vector{Tiling{region, 8}})), arena(model));
  }
}

TEST(Tile, StripsOfOneImageAreWrittenWhereTheyBelong) {
  const Graph model = small_cnn(1);
  for (const Region& region : find_regions(model)) {
    if (region.cut != Cut::kRows) continue;
    const Program program =
        compile(tile(model, std::vector{Tiling{region, 2}}), tt_portable_kernels);
    for (size_t n = 0; n < program.graph.nodes().size(); ++n) {
      const OpDef* op = program.graph.nodes()[n].op;
      if (op == &kConcat || op == &kSlice) {
        EXPECT_TRUE(program.buffers.elided[n]);
      }
    }
  }
}

TEST(Tile, OldIdsAreKnownByTheirNewOnes) {
  const Graph model = small_cnn(1);
  const std::vector<Region> regions = find_regions(model);
  std::vector<ValueId> ids;
  const Graph tiled = tile(model, std::vector{Tiling{regions[0], 2}}, &ids);
  for (size_t v = 0; v < ids.size(); ++v) {
    if (ids[v] == ValueId{UINT32_MAX}) continue;
    EXPECT_EQ(tiled.value(ids[v]).name, model.values()[v].name);
    EXPECT_EQ(tiled.value(ids[v]).type, model.values()[v].type);
  }
  EXPECT_EQ(ids[index(model.outputs[0])], tiled.outputs[0]);
}

}  // namespace
}  // namespace tinytl

// Integer layers joined into chains: which ones, and that no bit changes.

#include "engine/schedule/stream_rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "engine/ops/op_table.h"
#include "engine/runtime/executor.h"

namespace tinytl {
namespace {

using Ints = std::vector<int64_t>;

int64_t count(const Graph& graph, const OpDef& op) {
  return std::ranges::count_if(graph.nodes(), [&](const Node& node) { return node.op == &op; });
}

// A network of random integer layers, one behind the other.
class Layers {
 public:
  explicit Layers(uint32_t seed) : rng_(seed) {}

  int pick(int low, int high) { return std::uniform_int_distribution<int>(low, high)(rng_); }

  ValueId begin(int64_t batch, int64_t side, int64_t channels) {
    const ValueId x = graph.add_input("x", {DType::kI8, {batch, side, side + 3, channels}});
    scale_ = 0.05f;
    zero_ = -3;
    return x;
  }

  ValueId add(ValueId x, bool depthwise, int64_t kernel, int64_t stride, int64_t dilation = 1) {
    const std::string name = "layer" + std::to_string(graph.nodes().size());
    const int64_t in = graph.value(x).type.dim(3), out = depthwise ? in : pick(1, 40);
    const auto w =
        std::make_shared<Tensor>(depthwise ? TensorType{DType::kQ8, {kernel, kernel, in}}
                                           : TensorType{DType::kQ8, {kernel, kernel, in, out}});
    auto* const codes = reinterpret_cast<int8_t*>(w->bytes().data());
    for (int64_t i = 0; i < w->type().elements(); ++i) {
      codes[i] = static_cast<int8_t>(pick(-127, 127));
    }
    auto* const scales = reinterpret_cast<float*>(w->bytes().data() + w->type().scale_offset());
    for (int64_t i = 0; i < out; ++i) scales[i] = 0.01f / static_cast<float>(pick(1, 9));
    const auto b = std::make_shared<Tensor>(TensorType{DType::kI32, {out}});
    for (int32_t& v : b->i32()) v = pick(-3000, 3000);
    const int64_t y_zero = pick(-20, 20);
    // Pads that need not be alike.
    const Ints pads{pick(0, static_cast<int>(kernel) - 1), pick(0, 1), pick(0, 1),
                    pick(0, static_cast<int>(kernel) - 1)};
    const ValueId y = emit(graph, depthwise ? kQDepthwiseConv2d : kQConv2d, name,
                           {x, graph.add_persistent(name + ".w", Role::kWeight, w),
                            graph.add_persistent(name + ".b", Role::kBias, b)},
                           {{"strides", Ints{stride, stride}},
                            {"pads", pads},
                            {"dilations", Ints{dilation, dilation}},
                            {"groups", int64_t{1}},
                            {"x_scale", scale_},
                            {"x_zero", zero_},
                            {"y_scale", 0.06f},
                            {"y_zero", y_zero},
                            {"y_low", y_zero},
                            {"y_high", int64_t{120}},
                            {"fixed_point", int64_t{0}}});
    scale_ = 0.06f;
    zero_ = y_zero;
    return y;
  }

  Graph graph;

 private:
  std::mt19937 rng_;
  float scale_ = 0;
  int64_t zero_ = 0;
};

std::vector<int8_t> run(const Graph& graph, const tt_kernels& kernels,
                        const ScheduleOptions& options) {
  Executor executor(
      compile(graph, kernels, options),
      {.kernels = &kernels, .threads = std::make_shared<ThreadPool>(options.threads)});
  std::mt19937 rng(1);
  for (int8_t& v : executor.i8(graph.inputs[0])) v = static_cast<int8_t>(rng() % 256);
  executor.step();
  std::vector<int8_t> all;
  for (const ValueId id : graph.outputs) {
    const auto values = executor.i8(id);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

TEST(StreamRows, AnyLayersKeepTheirBits) {
  for (uint32_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    Layers layers(seed);
    ValueId at = layers.begin(layers.pick(1, 3), layers.pick(14, 30), layers.pick(1, 20));
    const int depth = layers.pick(2, 6);
    for (int i = 0; i < depth; ++i) {
      const TensorType& type = layers.graph.value(at).type;
      if (type.dim(1) < 6) break;
      const int64_t stride = layers.pick(0, 3) == 0 ? 2 : 1;
      const int64_t kernel = Ints{1, 1, 2, 3, 5}[static_cast<size_t>(layers.pick(0, 4))];
      const int64_t dilation = kernel == 3 && layers.pick(0, 4) == 0 ? 2 : 1;
      at = layers.add(at, layers.pick(0, 1) == 0, kernel, stride, dilation);
    }
    layers.graph.outputs = {at};
    for (const tt_kernels* const kernels : {&tt_portable_kernels, tt_best_kernels()}) {
      const auto want = run(layers.graph, *kernels, {.fuse = false});
      for (const int threads : {1, 3}) {
        EXPECT_EQ(run(layers.graph, *kernels, {.threads = threads}), want) << threads;
      }
    }
  }
}

// Expansion, depthwise, projection: what is between needs no bytes but for some rows.
TEST(StreamRows, OfABlockTakesTheArenaOfItsEnds) {
  Layers layers(3);
  ValueId at = layers.begin(1, 64, 8);
  at = layers.add(at, false, 1, 1);
  at = layers.add(at, true, 3, 2);
  at = layers.add(at, false, 1, 1);
  layers.graph.outputs = {at};
  const auto arena = [&](bool fuse) {
    return compile(layers.graph, *tt_best_kernels(), {.fuse = fuse}).plan.arena_bytes;
  };
  const size_t whole = layers.graph.value(layers.graph.nodes()[0].output()).type.bytes();
  EXPECT_GT(arena(false), whole);
  EXPECT_LT(arena(true), whole);
  stream_rows(layers.graph);
  EXPECT_EQ(count(layers.graph, kQConvChain), 1);
  EXPECT_EQ(layers.graph.nodes().size(), 1u);
}

TEST(StreamRows, LeavesWhatOthersRead) {
  Layers layers(4);
  ValueId at = layers.begin(1, 32, 8);
  at = layers.add(at, false, 1, 1);
  const ValueId read = at = layers.add(at, true, 3, 1);
  at = layers.add(at, false, 1, 1);
  at = layers.add(at, true, 3, 2);
  layers.graph.outputs = {at, read};
  stream_rows(layers.graph);
  EXPECT_EQ(count(layers.graph, kQConvChain), 2);
  EXPECT_EQ(layers.graph.nodes()[0].output(), read);
}

TEST(StreamRows, LeavesLayersOfShortRows) {
  Layers layers(5);
  ValueId at = layers.begin(1, 4, 8);
  at = layers.add(at, false, 1, 1);
  layers.graph.outputs = {layers.add(at, false, 1, 1)};
  stream_rows(layers.graph);
  EXPECT_EQ(count(layers.graph, kQConvChain), 0);
}

}  // namespace
}  // namespace tinytl

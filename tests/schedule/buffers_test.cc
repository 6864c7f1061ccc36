// Which values share bytes, and for how long.

#include <gtest/gtest.h>

#include "engine/runtime/executor.h"
#include "engine/schedule/schedule.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

Buffers buffers_of(const Graph& graph) {
  return assign_buffers(graph, schedule(graph), tt_portable_kernels);
}

class BuffersTest : public testing::Test {
 protected:
  ValueId input(Shape shape = {2, 3}) {
    return g_.add_input(std::to_string(g_.inputs.size()), {DType::kF32, std::move(shape)});
  }
  ValueId tanh(ValueId x) { return emit(g_, kTanh, "tanh", {x}); }
  ValueId reshape(ValueId x, Shape shape) {
    return emit(g_, kReshape, "reshape", {x}, {{"shape", std::move(shape)}});
  }
  std::optional<size_t> buffer(const Buffers& b, ValueId id) { return b.of_value[index(id)]; }

  Graph g_;
};

TEST_F(BuffersTest, AnOperatorWorksInPlaceWhereItsInputDies) {
  const ValueId x = input(), y = tanh(x), z = tanh(y);
  g_.outputs = {z};
  const Buffers b = buffers_of(g_);
  EXPECT_EQ(buffer(b, y), buffer(b, x));
  EXPECT_EQ(buffer(b, z), buffer(b, x));
  ASSERT_EQ(b.lifetimes.size(), 1u);
  EXPECT_EQ(b.lifetimes[0].bytes, 24u);
  EXPECT_EQ(b.values[0], (std::vector<ValueId>{x, y, z}));
}

TEST_F(BuffersTest, NotInPlaceWhereTheInputIsReadLater) {
  const ValueId x = input(), y = tanh(x);
  const ValueId z = emit(g_, kMul, "mul", {y, x});
  g_.outputs = {z};
  const Buffers b = buffers_of(g_);
  EXPECT_NE(buffer(b, y), buffer(b, x));
  EXPECT_EQ(buffer(b, z), buffer(b, y));
}

TEST_F(BuffersTest, NotInPlaceWhereAViewOfTheInputIsReadLater) {
  const ValueId x = input(), view = reshape(x, {3, 2}), y = tanh(x), z = tanh(view);
  g_.outputs = {y, z};
  const Buffers b = buffers_of(g_);
  EXPECT_EQ(buffer(b, view), buffer(b, x));
  EXPECT_NE(buffer(b, y), buffer(b, x));
  EXPECT_EQ(buffer(b, z), buffer(b, x));
}

TEST_F(BuffersTest, NotInPlaceOverAnInputOfAnotherSize) {
  const ValueId row = input({1, 3}), x = input();
  const ValueId y = emit(g_, kAdd, "add", {row, x});
  g_.outputs = {y};
  const Buffers b = buffers_of(g_);
  EXPECT_EQ(buffer(b, y), buffer(b, x));
}

TEST_F(BuffersTest, NotInPlaceWhereAnotherInputIsAPartOfThatOne) {
  const ValueId x = input();
  const ValueId row =
      emit(g_, kSlice, "slice", {x},
           {{"starts", Shape{0, 0}}, {"sizes", Shape{1, 3}}, {"steps", Shape{1, 1}}});
  const ValueId y = emit(g_, kAdd, "add", {x, row});
  g_.outputs = {y};
  const Buffers b = buffers_of(g_);
  EXPECT_EQ(buffer(b, row), buffer(b, x));
  EXPECT_NE(buffer(b, y), buffer(b, x));
}

TEST_F(BuffersTest, NotInPlaceOverAParameter) {
  const ValueId w = add_weight(g_, "w", {2, 3}), y = tanh(w);
  g_.outputs = {y};
  const Buffers b = buffers_of(g_);
  EXPECT_FALSE(buffer(b, w).has_value());
  EXPECT_TRUE(buffer(b, y).has_value());
}

TEST_F(BuffersTest, TwoInputsMayBeTheSameValue) {
  const ValueId x = input(), y = emit(g_, kAdd, "add", {x, x});
  g_.outputs = {y};
  EXPECT_EQ(buffers_of(g_).lifetimes.size(), 1u);
}

TEST_F(BuffersTest, OutputsLiveToTheLastStep) {
  const ValueId x = input(), y = tanh(x), z = tanh(y);
  const ValueId last = emit(g_, kMul, "mul", {z, z});
  g_.outputs = {y, last};
  const Buffers b = buffers_of(g_);
  EXPECT_EQ(b.lifetimes[*buffer(b, y)].last, 2);
  EXPECT_NE(buffer(b, z), buffer(b, y));
}

TEST_F(BuffersTest, InputsLiveFromTheFirstStep) {
  const ValueId early = input(), late = input();
  const ValueId y = emit(g_, kMul, "mul", {tanh(tanh(early)), late});
  g_.outputs = {y};
  const Buffers b = buffers_of(g_);
  EXPECT_EQ(b.lifetimes[*buffer(b, late)].first, 0);
  EXPECT_EQ(b.lifetimes[*buffer(b, late)].last, 2);
}

TEST_F(BuffersTest, AnInputThatIsAnOutputIsNotOverwritten) {
  const ValueId x = input(), y = tanh(x);
  g_.outputs = {x, y};
  const Buffers b = buffers_of(g_);
  EXPECT_NE(buffer(b, y), buffer(b, x));
  EXPECT_EQ(b.lifetimes[*buffer(b, x)].last, 0);  // the last of one step
}

TEST_F(BuffersTest, AnInputNobodyReadsHasNoBuffer) {
  const ValueId unread = input();
  g_.outputs = {tanh(input())};
  EXPECT_FALSE(buffer(buffers_of(g_), unread).has_value());
}

TEST_F(BuffersTest, AViewOfAParameterIsTheParameter) {
  const ValueId w = add_weight(g_, "w", {6}), view = reshape(w, {2, 3}), again = reshape(view, {6});
  const ValueId y = tanh(again);
  g_.outputs = {y, view};
  const Buffers b = buffers_of(g_);
  EXPECT_EQ(b.root[index(view)], w);
  EXPECT_EQ(b.root[index(again)], w);
  EXPECT_FALSE(buffer(b, view).has_value());
  EXPECT_TRUE(buffer(b, y).has_value());
}

TEST_F(BuffersTest, ScratchLivesForOneStep) {
  const ValueId x = input({1, 5, 5, 64});
  g_.outputs = {tanh(convolution(g_, "conv", x, 64, /*kernel=*/3))};
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    const Buffers b = assign_buffers(g_, schedule(g_), *kernels);
    for (size_t i = 0; i < b.lifetimes.size(); ++i) {
      if (b.scratch_node[i] == kNoNode) continue;
      EXPECT_EQ(b.lifetimes[i].first, b.lifetimes[i].last);
      EXPECT_EQ(b.of_scratch[index(b.scratch_node[i])], i);
      EXPECT_TRUE(b.values[i].empty());
    }
  }
}

// A 1x1 convolution over its input, and its input gradient over the gradient it gets.
Graph pointwise_twice(int64_t batch, int64_t size, int64_t channels) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::kF32, {batch, size, size, channels}});
  const Attributes attributes{{"strides", Shape{1, 1}},
                              {"pads", Shape{0, 0, 0, 0}},
                              {"dilations", Shape{1, 1}},
                              {"groups", int64_t{1}}};
  const ValueId w = add_weight(g, "w", {1, 1, channels, channels});
  const ValueId b = add_bias(g, "b", {channels});
  const ValueId y = emit(g, kConv2d, "conv", {x, w, b}, attributes);
  Attributes of_gradient = attributes;
  of_gradient.set("shape", Shape{batch, size, size, channels});
  g.outputs = {emit(g, kConv2dGradInput, "grad", {y, w}, of_gradient)};
  return g;
}

std::vector<float> result_of(const Graph& graph, const tt_kernels& kernels, bool share) {
  Executor executor(compile(graph, kernels, {.share = share}), {.kernels = &kernels});
  std::mt19937 rng(1);
  for (float& v : executor.f32(graph.inputs[0])) v = float(rng() % 1000) / 500.0f - 1.0f;
  executor.step();
  const std::span<const float> y = executor.f32(graph.outputs[0]);
  return {y.begin(), y.end()};
}

// More pixels than a block has and fewer, whole blocks and a rest, all widths of vectors.
TEST(PointwiseInPlace, HasTheSameBits) {
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    for (const int64_t size : {1, 5, 8, 13, 20}) {
      for (const int64_t channels : {1, 3, 8, 17, 40, 64, 300}) {
        SCOPED_TRACE(testing::Message() << kernels->name << ": " << size << ", " << channels);
        const Graph graph = pointwise_twice(2, size, channels);
        EXPECT_EQ(result_of(graph, *kernels, true), result_of(graph, *kernels, false));
      }
    }
  }
}

TEST(PointwiseInPlace, NeedsOneTensorAndSomePixels) {
  const Graph graph = pointwise_twice(1, 20, 16);
  const Buffers b = assign_buffers(graph, schedule(graph), tt_portable_kernels);
  EXPECT_EQ(b.of_value[index(graph.inputs[0])], b.of_value[index(graph.outputs[0])]);
  EXPECT_LT(live_bytes_bound(b.lifetimes).bytes, 400u * 16 * 4 * 3 / 2);
}

}  // namespace
}  // namespace tinytl

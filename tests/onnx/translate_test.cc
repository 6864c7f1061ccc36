// The translation rules, one by one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/ops/op_table.h"
#include "tests/onnx/model_builder.h"

namespace tinytl {
namespace {

using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

// A 3x3 convolution of 2 channels into 3.
ModelBuilder convolution(const std::vector<std::string>& inputs = {"x", "w"}) {
  ModelBuilder m;
  m.input("x", {-1, 2, 5, 5}).weights("w", {3, 2, 3, 3});
  m.node("Conv", inputs, "conv");
  return m;
}

ModelBuilder& with_batch_norm(ModelBuilder& m, const std::string& x) {
  m.numbers("gamma", {3}, {2, 3, 4}).numbers("beta", {3}, {1, 2, 3});
  m.numbers("mean", {3}, {0.5, 1, -1}).numbers("variance", {3}, {4, 1, 9});
  set(m.node("BatchNormalization", {x, "gamma", "beta", "mean", "variance"}, "norm"), "epsilon",
      0.0f);
  return m;
}

TEST(Import, ConvolutionInputIsStoredWithChannelsLast) {
  const Graph g = convolution().output("conv").graph(4);
  EXPECT_EQ(g.value(g.inputs[0]).type.shape, (Shape{4, 5, 5, 2}));
  EXPECT_EQ(g.value(g.id_of("w")).type.shape, (Shape{3, 3, 2, 3}));
  EXPECT_EQ(g.value(g.id_of("w")).role, Role::kWeight);
  EXPECT_EQ(node_named(g, "conv").inputs.size(), 2u) << "a convolution without bias gets none";
  // The network's output has the file's order again.
  EXPECT_EQ(g.value(g.outputs[0]).type.shape, (Shape{4, 3, 3, 3}));
}

TEST(Import, BatchNormFoldsIntoTheConvolutionBeforeIt) {
  ModelBuilder m = convolution();
  with_batch_norm(m, "conv").output("norm");
  const Graph g = m.graph();
  EXPECT_EQ(count_nodes(g, kMul) + count_nodes(g, kAdd), 0u);
  EXPECT_EQ(g.value(node_named(g, "conv").input(2)).name, "beta");
  EXPECT_EQ(g.value(node_named(g, "conv").input(2)).role, Role::kBias);

  const Numbers x = sample_input(50);
  const Numbers plain = convolution().output("conv").run({x});
  Numbers expected;
  const float scale[] = {1, 3, 4.0f / 3}, shift[] = {0.5, -1, 3 + 4.0f / 3};
  for (size_t i = 0; i < plain.size(); ++i)
    expected.push_back(plain[i] * scale[i / 9] + shift[i / 9]);
  EXPECT_THAT(m.run({x}), Pointwise(FloatNear(1e-5f), expected));
}

TEST(Import, BatchNormStaysWhereTheConvolutionHasAnotherReader) {
  ModelBuilder m = convolution();
  with_batch_norm(m, "conv");
  m.node("Add", {"conv", "norm"}, "sum");
  const Graph g = m.output("sum").graph();
  EXPECT_EQ(count_nodes(g, kMul), 1u);
  EXPECT_EQ(g.value(g.id_of("gamma")).role, Role::kWeight);
  EXPECT_EQ(g.value(g.id_of("beta")).role, Role::kBias);
}

TEST(Import, BatchNormDoesNotFoldIntoSharedWeights) {
  ModelBuilder m = convolution();
  with_batch_norm(m, "conv");
  m.node("Conv", {"x", "w"}, "second");
  m.node("Add", {"second", "norm"}, "sum");
  const Graph g = m.output("sum").graph();
  EXPECT_EQ(node_named(g, "conv").input(1), node_named(g, "second").input(1));
  EXPECT_EQ(count_nodes(g, kMul), 1u);
}

// conv + batch norm, then a second convolution.
ModelBuilder two_convolutions() {
  ModelBuilder m = convolution();
  with_batch_norm(m, "conv");
  m.weights("w2", {5, 3, 1, 1});
  m.node("Conv", {"norm", "w2"}, "second");
  m.output("second");
  return m;
}

TEST(Import, PackedWeightsAreThoseOfTheFloatNetwork) {
  const ModelBuilder m = two_convolutions();
  const Graph floats = m.graph();
  for (const DType dtype : {DType::kQ8, DType::kTable8}) {
    const Graph packed = m.translate({.packed = {{"w", "w2"}, dtype}}).graph;
    for (const char* name : {"w", "w2"}) {
      const Value& value = packed.value(packed.id_of(name));
      EXPECT_EQ(value.type.dtype, dtype);
      const auto expected = pack_weights(*floats.value(floats.id_of(name)).data, dtype);
      EXPECT_TRUE(std::ranges::equal(value.data->bytes(), expected->bytes())) << name;
    }
    EXPECT_EQ(packed.value(node_named(packed, "conv").input(2)).type.dtype, DType::kF32);
  }
}

TEST(Import, WeightsPackedTooEarlyAreFoldedAllTheSame) {
  ModelBuilder m = convolution();
  m.weights("w2", {5, 2, 1, 1});
  m.node("Conv", {"x", "w2"}, "second");  // "w" is packed when this reads its own
  with_batch_norm(m, "conv").output("norm").output("second");
  const Graph floats = m.graph();
  const Graph packed = m.translate({.packed = {{"w", "w2"}, DType::kQ8}}).graph;
  EXPECT_EQ(count_nodes(packed, kMul), 0u);
  const auto expected = quantize_weights(*floats.value(floats.id_of("w")).data);
  const Value& value = packed.value(packed.id_of("w"));
  ASSERT_EQ(value.type.dtype, DType::kQ8);
  Numbers a(static_cast<size_t>(value.type.elements())), b = a;
  unpack(*value.data, a);
  unpack(*expected, b);
  EXPECT_THAT(a, Pointwise(FloatNear(1e-5f), b));
}

TEST(Import, GroupNormsStandForBatchNorms) {
  ModelBuilder m = convolution();
  with_batch_norm(m, "conv").output("norm");
  const Graph g = m.translate({.norms = Norms::kGroup}).graph;
  ASSERT_EQ(count_nodes(g, kGroupNorm), 1u);
  const Node& group = node_named(g, "norm");
  EXPECT_EQ(group.attributes.integer("groups"), 1) << "three channels in one group";
  EXPECT_EQ(group.attributes.number("epsilon"), 1e-3f);
  EXPECT_EQ(g.value(group.input(1)).name, "gamma");
  EXPECT_EQ(g.value(group.input(1)).role, Role::kWeight);
  EXPECT_EQ(g.value(group.input(2)).name, "beta");
  EXPECT_EQ(g.value(group.input(2)).role, Role::kBias);
  EXPECT_THAT(g.value(group.input(1)).data->f32(), ElementsAre(2, 3, 4));
  // Of each output channel: mean 0, and unbiased deviation 1.
  const auto w = g.value(g.id_of("w")).data->f32();
  for (size_t c = 0; c < 3; ++c) {
    double sum = 0, squares = 0;
    for (size_t i = c; i < w.size(); i += 3) sum += w[i], squares += double{w[i]} * w[i];
    EXPECT_NEAR(sum, 0, 1e-5);
    EXPECT_NEAR(squares / 17, 1, 1e-3);
  }
}

TEST(Import, WeightsOfAConvolutionWithBiasAreNotStandardised) {
  ModelBuilder m = convolution({"x", "w", "b"});
  m.numbers("b", {3}, {1, 2, 3});
  with_batch_norm(m, "conv").output("norm");
  const Graph g = m.translate({.norms = Norms::kGroup}).graph;
  const Graph folded = convolution().output("conv").graph();
  EXPECT_THAT(g.value(g.id_of("w")).data->f32(),
              ElementsAreArray(folded.value(folded.id_of("w")).data->f32()));
}

TEST(Import, GroupNormsNeedBatchNormsToStandFor) {
  EXPECT_THAT(convolution().output("conv").error({.norms = Norms::kGroup}),
              HasSubstr("has no BatchNormalization node"));
}

TEST(Import, BatchNormsStayWithTheirStatistics) {
  ModelBuilder m = convolution();
  with_batch_norm(m, "conv").output("norm");
  const Graph g = m.translate({.norms = Norms::kBatch}).graph;
  const Node& norm = node_named(g, "norm");
  ASSERT_EQ(norm.op, &kBatchNormInference);
  EXPECT_EQ(node_named(g, "conv").inputs.size(), 2u) << "nothing is folded into it";
  const std::pair<const char*, Role> parameters[] = {{"gamma", Role::kWeight},
                                                     {"beta", Role::kBias},
                                                     {"mean", Role::kStatistic},
                                                     {"variance", Role::kStatistic}};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(g.value(norm.input(i + 1)).name, parameters[i].first);
    EXPECT_EQ(g.value(norm.input(i + 1)).role, parameters[i].second);
  }
  const Numbers x = sample_input(50);
  EXPECT_THAT(run_nhwc(g, {x}).at(0), Pointwise(FloatNear(1e-5f), m.run({x})));
  EXPECT_THAT(convolution().output("conv").error({.norms = Norms::kBatch}),
              HasSubstr("has no BatchNormalization node that could be kept"));
}

// Each moves its own.
TEST(Import, BatchNormsDoNotShareStatistics) {
  ModelBuilder m = convolution();
  with_batch_norm(m, "conv");
  m.node("BatchNormalization", {"norm", "gamma", "beta", "mean", "variance"}, "second");
  const Graph g = m.output("second").translate({.norms = Norms::kBatch}).graph;
  const Node &first = node_named(g, "norm"), &second = node_named(g, "second");
  EXPECT_EQ(first.input(1), second.input(1)) << "parameters stay shared";
  for (size_t i : {3, 4}) {
    EXPECT_NE(first.input(i), second.input(i));
    EXPECT_NE(g.value(first.input(i)).data, g.value(second.input(i)).data);
    EXPECT_NE(g.value(first.input(i)).name, g.value(second.input(i)).name);
  }
}

// Two channels a group of a known input: every number by hand.
TEST(Import, GroupAndInstanceNormalization) {
  const auto model = [](const std::string& op, int64_t opset, const Shape& scale) {
    ModelBuilder m(opset);
    m.input("x", {1, 4, 1, 2}).numbers("scale", scale, Numbers(size_t(scale[0]), 2));
    m.numbers("shift", scale, Numbers(size_t(scale[0]), 1));
    onnx::NodeProto& node = m.node(op, {"x", "scale", "shift"}, "y");
    set(node, "epsilon", 0.0f);
    if (op == "GroupNormalization") set(node, "num_groups", int64_t{2});
    return m.output("y");
  };
  const Numbers x{0, 2, 0, 2, 5, 5, 7, 7};
  const Numbers in_pairs{-1, 3, -1, 3, -1, -1, 3, 3};
  EXPECT_THAT(model("GroupNormalization", 21, {4}).run({x}), Pointwise(FloatNear(1e-5f), in_pairs));
  EXPECT_THAT(model("GroupNormalization", 18, {2}).run({x}), Pointwise(FloatNear(1e-5f), in_pairs));
  const Numbers alone{-1, 3, -1, 3, -1, 3, -1, 3};
  EXPECT_THAT(model("InstanceNormalization", 13, {4}).run({{0, 2, 0, 2, 5, 7, 3, 9}}),
              Pointwise(FloatNear(1e-5f), alone));
}

TEST(Import, FlattenPermutesTheRowsOfTheNextMatrix) {
  ModelBuilder m;
  m.input("x", {-1, 2, 2, 3}).numbers("w", {2, 2, 1, 1}, {1, 0, 0, 1});
  m.node("Conv", {"x", "w"}, "conv");
  m.node("Flatten", {"conv"}, "flat");
  m.weights("fc", {12, 4});
  m.node("Gemm", {"flat", "fc"}, "y");
  const Graph g = m.output("y").graph();
  EXPECT_EQ(count_nodes(g, kTranspose), 0u);
  ModelBuilder direct;
  direct.input("x", {1, 12}).weights("fc", {12, 4}).node("Gemm", {"x", "fc"}, "y");
  const Numbers x = sample_input(12);
  EXPECT_THAT(m.run({x}), Pointwise(FloatNear(1e-5f), direct.output("y").run({x})));
}

// What data sets hold is channels last; nothing but the shape says that these are images.
TEST(Import, ImagesThatNoConvolutionReadsAreStoredWithChannelsLast) {
  const auto stored = [](const Shape& shape) {
    ModelBuilder m;
    m.input("x", shape).node("Flatten", {"x"}, "y");
    const Graph g = m.output("y").graph(2);
    return g.value(g.inputs[0]).type.shape;
  };
  EXPECT_EQ(stored({-1, 1, 28, 28}), (Shape{2, 28, 28, 1}));
  EXPECT_EQ(stored({-1, 3, 4, 5}), (Shape{2, 4, 5, 3}));
  EXPECT_EQ(stored({-1, 28, 28, 1}), (Shape{2, 28, 28, 1}));
  EXPECT_EQ(stored({-1, 3, 4, 3}), (Shape{2, 3, 4, 3})) << "either end may be the channels";

  ModelBuilder m, direct;
  m.input("x", {-1, 3, 4, 5}).weights("fc", {60, 4});
  m.node("Flatten", {"x"}, "flat");
  m.node("Gemm", {"flat", "fc"}, "y");
  direct.input("x", {-1, 60}).weights("fc", {60, 4}).node("Gemm", {"x", "fc"}, "y");
  EXPECT_EQ(count_nodes(m.output("y").graph(), kTranspose), 0u);
  const Numbers x = sample_input(120);
  EXPECT_THAT(m.run({x}, 2), Pointwise(FloatNear(1e-5f), direct.output("y").run({x}, 2)));
}

TEST(Import, FlattenedTensorThatSomethingElseReadsIsPutInOrder) {
  ModelBuilder m;
  m.input("x", {1, 2, 2, 3}).numbers("w", {2, 2, 1, 1}, {1, 0, 0, 1});
  m.node("Conv", {"x", "w"}, "conv");
  m.node("Flatten", {"conv"}, "flat");
  m.node("Relu", {"flat"}, "relu");
  m.output("relu");
  EXPECT_THAT(m.run({counting(12)}), ElementsAreArray(counting(12)));
}

TEST(Import, AutoPadBecomesPads) {
  const auto pads = [](const char* mode) {
    ModelBuilder m;
    m.input("x", {1, 1, 6, 6}).weights("w", {1, 1, 3, 3});
    onnx::NodeProto& conv = m.node("Conv", {"x", "w"}, "conv");
    set(conv, "auto_pad", mode);
    set(conv, "strides", {2, 2});
    const Graph g = m.output("conv").graph();
    const auto list = node_named(g, "conv").attributes.integers("pads");
    return Shape(list.begin(), list.end());
  };
  EXPECT_THAT(pads("SAME_UPPER"), ElementsAre(0, 0, 1, 1));
  EXPECT_THAT(pads("SAME_LOWER"), ElementsAre(1, 1, 0, 0));
  EXPECT_THAT(pads("VALID"), ElementsAre(0, 0, 0, 0));
}

TEST(Import, PadFoldsIntoConvolutionAndAveragePool) {
  for (const char* op : {"Conv", "AveragePool"}) {
    ModelBuilder m;
    m.input("x", {1, 2, 4, 4})
        .weights("w", {3, 2, 3, 3})
        .integers("pads", {0, 0, 0, 1, 0, 0, 1, 1});
    m.node("Pad", {"x", "pads"}, "pad");
    const bool conv = std::string(op) == "Conv";
    onnx::NodeProto& node = m.node(op, {"pad"}, "y");
    if (conv) node.add_input("w");
    set(node, "kernel_shape", {3, 3});
    const Graph g = m.output("y").graph();
    EXPECT_EQ(count_nodes(g, kPad), 0u) << op;
    const auto pads = node_named(g, "y").attributes.integers("pads");
    EXPECT_THAT(Shape(pads.begin(), pads.end()), ElementsAre(0, 1, 1, 1));
  }
}

TEST(Import, PadOfMaximaStays) {
  ModelBuilder m;
  m.input("x", {1, 1, 4, 4}).integers("pads", {0, 0, 1, 1, 0, 0, 1, 1});
  m.node("Pad", {"x", "pads"}, "pad");
  set(m.node("MaxPool", {"pad"}, "y"), "kernel_shape", {2, 2});
  EXPECT_EQ(count_nodes(m.output("y").graph(), kPad), 1u);
}

TEST(Import, OneDimensionalConvolutionNeedsNoTranspose) {
  ModelBuilder m;
  m.input("x", {-1, 2, 6}).weights("w", {3, 2, 3}).weights("v", {3, 1, 3});
  set(m.node("Conv", {"x", "w"}, "conv"), "pads", {1, 1});
  set(m.node("Conv", {"conv", "v"}, "depthwise"), "group", int64_t{3});
  m.node("GlobalAveragePool", {"depthwise"}, "pool");
  m.node("Flatten", {"pool"}, "y");
  const Graph g = m.output("y").graph();
  EXPECT_EQ(count_nodes(g, kTranspose), 0u);
  EXPECT_EQ(count_nodes(g, kDepthwiseConv2d), 1u);

  // The same as images of height 1.
  ModelBuilder flat;
  flat.input("x", {-1, 2, 1, 6}).weights("w", {3, 2, 1, 3}).weights("v", {3, 1, 1, 3});
  set(flat.node("Conv", {"x", "w"}, "conv"), "pads", {0, 1, 0, 1});
  set(flat.node("Conv", {"conv", "v"}, "depthwise"), "group", int64_t{3});
  flat.node("GlobalAveragePool", {"depthwise"}, "pool");
  flat.node("Flatten", {"pool"}, "y");
  const Numbers x = sample_input(24);
  EXPECT_EQ(m.run({x}, 2), flat.output("y").run({x}, 2));
}

TEST(Import, AddAfterMatMulIsItsBias) {
  ModelBuilder m;
  m.input("x", {-1, 7, 4}).weights("w", {4, 3}).weights("b", {3});
  m.node("MatMul", {"x", "w"}, "product");
  m.node("Add", {"b", "product"}, "y");
  const Graph g = m.output("y").graph();
  ASSERT_EQ(g.nodes().size(), 1u);
  EXPECT_EQ(g.nodes()[0].op, &kLinear);
  EXPECT_EQ(g.value(g.nodes()[0].input(2)).name, "b");
  EXPECT_EQ(g.value(g.nodes()[0].input(2)).role, Role::kBias);
}

TEST(Import, TransposedFactorIsAFlagOfTheProduct) {
  ModelBuilder m;
  m.input("q", {-1, 5, 4}).input("k", {-1, 6, 4});
  set(m.node("Transpose", {"k"}, "kt"), "perm", {0, 2, 1});
  m.node("MatMul", {"q", "kt"}, "y");
  const Graph g = m.output("y").graph(2);
  ASSERT_EQ(g.nodes().size(), 1u);
  EXPECT_EQ(g.nodes()[0].attributes.integer("transpose_b"), 1);
}

TEST(Import, ScalarSlopeIsLeakyRelu) {
  ModelBuilder m;
  m.input("x", {1, 4}).numbers("slope", {1}, {0.25});
  m.node("PRelu", {"x", "slope"}, "y");
  EXPECT_THAT(m.output("y").run({{-4, -2, 0, 2}}), ElementsAre(-1, -0.5, 0, 2));
  EXPECT_EQ(count_nodes(m.graph(), kLeakyRelu), 1u);
}

TEST(Import, ClipLimitsMayBeAttributes) {
  ModelBuilder m(6);
  m.input("x", {1, 4});
  onnx::NodeProto& clip = m.node("Clip", {"x"}, "y");
  set(clip, "min", 0.0f);
  set(clip, "max", 6.0f);
  EXPECT_THAT(m.output("y").run({{-4, 2, 6, 9}}), ElementsAre(0, 2, 6, 6));
}

TEST(Import, DropoutAndIdentityVanish) {
  ModelBuilder m;
  m.input("x", {1, 4});
  m.node("Dropout", {"x"}, "a");
  m.node("Identity", {"a"}, "b");
  m.node("Relu", {"b"}, "y");
  EXPECT_EQ(m.output("y").graph().nodes().size(), 1u);
}

TEST(Import, QuantizedWeightsAreDequantizedAndActivationsAreNotQuantized) {
  ModelBuilder m;
  m.input("x", {-1, 2}).numbers("s", {}, {0.5}).int8("z", {}, {3});
  m.int8("w_q", {2, 2}, {1, 2, 3, 4}).numbers("w_s", {2}, {10, 100}).int8("w_z", {2}, {0, 1});
  m.node("QuantizeLinear", {"x", "s", "z"}, "x_q");
  m.node("DequantizeLinear", {"x_q", "s", "z"}, "x_d");
  set(m.node("DequantizeLinear", {"w_q", "w_s", "w_z"}, "w"), "axis", int64_t{0});
  m.node("MatMul", {"x_d", "w"}, "y");
  const Graph g = m.output("y").graph();
  ASSERT_EQ(g.nodes().size(), 1u);
  const auto w = g.value(g.id_of("w")).data->f32();
  EXPECT_THAT(Numbers(w.begin(), w.end()), ElementsAre(10, 20, 200, 300));
}

TEST(Import, HardCodedBatchOfAReshapeIsReplaced) {
  ModelBuilder m;
  m.input("x", {1, 6, 4}).integers("flat", {1, -1}).integers("heads", {3, 2, 4});
  m.node("Reshape", {"x", "flat"}, "y");
  m.node("Reshape", {"x", "heads"}, "z");
  const Graph g = m.output("y").output("z").graph(5);
  EXPECT_EQ(g.value(g.outputs[0]).type.shape, (Shape{5, 24}));
  EXPECT_EQ(g.value(g.outputs[1]).type.shape, (Shape{15, 2, 4}));
}

TEST(Import, ShapeArithmeticVanishes) {
  ModelBuilder m;
  m.input("x", {-1, 3, 4}).integers("zero", {0}).integers("rest", {-1});
  m.node("Shape", {"x"}, "shape");
  m.node("Gather", {"shape", "zero"}, "batch");
  set(m.node("Concat", {"batch", "rest"}, "target"), "axis", int64_t{0});
  m.node("Reshape", {"x", "target"}, "y");
  const Graph g = m.output("y").graph(2);
  EXPECT_EQ(g.nodes().size(), 1u);
  EXPECT_EQ(g.value(g.outputs[0]).type.shape, (Shape{2, 12}));
}

// x with its channels shuffled after a convolution that leaves it as it is.
TEST(Import, ChannelShuffleKeepsItsMeaning) {
  ModelBuilder m;
  m.input("x", {1, 4, 1, 3});
  m.numbers("w", {4, 4, 1, 1}, {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1});
  m.integers("apart", {1, 2, 2, 1, 3}).integers("together", {1, 4, 1, 3});
  m.node("Conv", {"x", "w"}, "conv");
  m.node("Reshape", {"conv", "apart"}, "a");
  set(m.node("Transpose", {"a"}, "t"), "perm", {0, 2, 1, 3, 4});
  m.node("Reshape", {"t", "together"}, "y");
  EXPECT_THAT(m.output("y").run({counting(12)}),
              ElementsAre(1, 2, 3, 7, 8, 9, 4, 5, 6, 10, 11, 12));
}

TEST(Import, SqueezeAndExcitationNeedsNoTranspose) {
  ModelBuilder m = convolution();
  m.weights("squeeze", {1, 3, 1, 1}).weights("excite", {3, 1, 1, 1}).integers("spatial", {2, 3});
  set(m.node("ReduceMean", {"conv"}, "mean"), "axes", {2, 3});
  m.node("Conv", {"mean", "squeeze"}, "s");
  m.node("Conv", {"s", "excite"}, "e");
  m.node("HardSigmoid", {"e"}, "gate");
  m.node("Mul", {"conv", "gate"}, "scaled");
  m.node("GlobalAveragePool", {"scaled"}, "pool");
  m.node("Flatten", {"pool"}, "y");
  EXPECT_EQ(count_nodes(m.output("y").graph(), kTranspose), 0u);
}

TEST(Import, PatchesOfAVisionTransformerNeedNoTranspose) {
  ModelBuilder m = convolution();
  m.integers("tokens", {0, 3, 9}).weights("class", {1, 1, 3});
  m.node("Reshape", {"conv", "tokens"}, "r");
  set(m.node("Transpose", {"r"}, "t"), "perm", {0, 2, 1});
  set(m.node("Concat", {"class", "t"}, "y"), "axis", int64_t{1});
  const Graph g = m.output("y").graph(3);
  EXPECT_EQ(count_nodes(g, kTranspose), 0u);
  EXPECT_EQ(g.value(g.outputs[0]).type.shape, (Shape{3, 10, 3}));
}

TEST(Import, RepeatedPixels) {
  ModelBuilder m;
  m.input("x", {1, 1, 1, 2}).numbers("scales", {4}, {1, 1, 2, 2});
  m.node("Resize", {"x", "", "scales"}, "y");
  EXPECT_THAT(m.output("y").run({{1, 2}}), ElementsAre(1, 1, 2, 2, 1, 1, 2, 2));
}

TEST(Import, FormsOfNewerOpsets) {
  ModelBuilder m(18);
  m.input("x", {-1, 4, 2}).integers("axes", {1});
  m.node("ReduceMean", {"x", "axes"}, "mean");
  onnx::NodeProto& split = m.node("Split", {"x"}, "first");
  split.add_output("second");
  set(split, "axis", int64_t{1});
  set(split, "num_outputs", int64_t{2});
  m.node("Add", {"second", "mean"}, "y");
  EXPECT_THAT(m.output("y").run({counting(8)}), ElementsAre(9, 11, 11, 13));
}

TEST(Import, OpenSizesComeFromTheOptions) {
  ModelBuilder m;
  m.input("x", {-1, -2}).node("Relu", {"x"}, "y");
  m.output("y");
  EXPECT_THAT(m.error(), HasSubstr("input \"x\": dimension 1 (\"L\") has no size"));
  const Graph g = m.translate({.batch = 2, .dims = {{"L", 7}}}).graph;
  EXPECT_EQ(g.value(g.inputs[0]).type.shape, (Shape{2, 7}));
}

}  // namespace
}  // namespace tinytl

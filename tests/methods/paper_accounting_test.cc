// The bill of the TinyTL paper: its figures, and its rules one by one on small networks.

#include "tinytl/methods/paper_accounting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/ops/op_table.h"
#include "tests/graph/support.h"
#include "tinytl/networks/reference_network.h"

namespace tinytl {
namespace {

PaperForm paper_network(Update update, int64_t resolution, int64_t classes = 102) {
  const Graph graph = reference_network(
      "proxylessnas-mobile",
      {.resolution = resolution, .classes = classes, .norm = NetworkNorm::kGroup, .values = false});
  return paper_form(keep_classifier(graph, ""), update);
}

int64_t trained_scalars(const PaperForm& form) {
  int64_t count = 0;
  for (const TrainedParameter& p : form.scheme.parameters) {
    count += form.graph.value(p.parameter).type.elements();
  }
  return count;
}

double megabytes(Update update, int64_t resolution, int64_t batch) {
  const PaperForm form = paper_network(update, resolution);
  return static_cast<double>(paper_bill(form.graph, form.scheme, batch).bytes()) / 1e6;
}

// ProxylessNAS-Mobile with 102 classes (Cai et al., TinyTL, table 1 and figure 5).
struct Published {
  Update update;
  int64_t trained;
  double megabytes[6];  // at batch 8 and kResolutions
};
constexpr int64_t kResolutions[] = {96, 128, 160, 192, 224, 256};
constexpr Published kPublished[] = {
    {Update::kLast, 130662, {9.9, 13.5, 18.2, 24.0, 30.8, 38.7}},
    {Update::kBias, 151638, {10.1, 13.9, 18.7, 24.7, 31.7, 39.8}},
    {Update::kLite, 1947078, {15.5, 19.2, 24.1, 30.1, 37.1, 45.2}},
    {Update::kLiteBias, 1962310, {15.5, 19.3, 24.2, 30.1, 37.1, 45.2}},
    {Update::kNorm, 172614, {39.6, 66.4, 100.7, 142.9, 192.4, 249.9}},
    {Update::kFull, 4746590, {87.2, 140.5, 208.7, 292.4, 390.8, 505.1}},
};
constexpr double kRounding = 0.05 + 1e-9;

TEST(PaperAccounting, IsThatOfThePaper) {
  for (const Published& p : kPublished) {
    for (size_t i = 0; i < std::size(kResolutions); ++i) {
      EXPECT_NEAR(megabytes(p.update, kResolutions[i], 8), p.megabytes[i], kRounding)
          << name_of(p.update) << " at " << kResolutions[i];
    }
  }
  EXPECT_NEAR(megabytes(Update::kLiteBias, 224, 1), 13.9, kRounding);
  EXPECT_NEAR(megabytes(Update::kLiteBias, 256, 1), 15.0, kRounding);
}

// With the same figure for biases as for norms, which save those inputs anyway.
TEST(PaperAccounting, FrozenNormsAreWhatItLeavesOut) {
  const auto honest_megabytes = [](Update update) {
    const PaperForm form = paper_network(update, 224);
    const PaperBill bill = paper_bill(form.graph, form.scheme, 8);
    return static_cast<double>(bill.bytes() + bill.frozen_norm_bytes) / 1e6;
  };
  EXPECT_NEAR(honest_megabytes(Update::kLiteBias), 206.8, kRounding);
  EXPECT_NEAR(honest_megabytes(Update::kBias), megabytes(Update::kNorm, 224, 8), 0.1);
  for (const Update update : {Update::kLast, Update::kNorm, Update::kFull}) {
    EXPECT_EQ(honest_megabytes(update), megabytes(update, 224, 8)) << name_of(update);
  }
}

// Kernels of modules do not depend on the resolution, or modules pretrained at one would not fit
// another.
TEST(PaperAccounting, TrainsAsMuchAtEveryResolution) {
  for (const Published& p : kPublished) {
    EXPECT_EQ(trained_scalars(paper_network(p.update, 224)), p.trained) << name_of(p.update);
  }
  for (const int64_t resolution : {32, 33, 65, 100, 112, 168, 176, 208, 225}) {
    EXPECT_EQ(trained_scalars(paper_network(Update::kLiteBias, resolution)), 1962310) << resolution;
  }
  const int64_t features = 1280;
  EXPECT_EQ(trained_scalars(paper_network(Update::kLast, 96, 10)), features * 10 + 10);
}

// One layer of each kind, on f32[batch,6,6,8].
struct Layers {
  Graph graph;
  ValueId convolution{}, scale{}, head{};
};

constexpr int64_t kSide = 6, kChannels = 8, kOut = 4, kGroups = 2;
constexpr int64_t kIn = kSide * kSide * kChannels, kMid = kSide * kSide * kOut;

Layers one_of_each(int64_t batch, const OpDef& activation, const Attributes& attributes) {
  Layers l;
  Graph& g = l.graph;
  ValueId y = g.add_input("x", {DType::kF32, {batch, kSide, kSide, kChannels}});
  l.convolution = add_weight(g, "conv.weight", {3, 3, kChannels / kGroups, kOut});
  y = emit(g, kConv2d, "conv", {y, l.convolution},
           {{"strides", Shape{1, 1}},
            {"pads", Shape(4, 1)},
            {"dilations", Shape{1, 1}},
            {"groups", kGroups}});
  l.scale = add_weight(g, "norm.weight", {kOut});
  const ValueId shift = add_bias(g, "norm.bias", {kOut});
  y = emit(g, kGroupNorm, "norm", {y, l.scale, shift},
           {{"groups", int64_t{1}}, {"epsilon", 1e-3f}});
  y = emit(g, activation, "activation", {y}, attributes);
  y = emit(g, kReduceMean, "pool", {y}, {{"axes", Shape{1, 2}}, {"keepdims", int64_t{0}}});
  g.outputs = {linear(g, "fc", y, 3)};
  l.head = g.id_of("fc.weight");
  return l;
}

Layers with_relu(int64_t batch = 1) {
  return one_of_each(batch, kClip, {{"low", 0.0f}, {"high", kInfinity}});
}

constexpr int64_t kParameters = 9 * kChannels / kGroups * kOut + 2 * kOut + kOut * 3 + 3;

TEST(PaperAccounting, ParametersTakeFourBytesOrOne) {
  const Layers l = with_relu();
  const PaperBill bill = paper_bill(l.graph, {{{l.head, Group::kHead}}}, 2);
  EXPECT_EQ(bill.trained_bytes, 4 * kOut * 3);
  EXPECT_EQ(bill.frozen_bytes, kParameters - kOut * 3);
}

TEST(PaperAccounting, WhatTrainsSavesWhatItReads) {
  const Layers l = with_relu();
  const auto activations = [&](const UpdateScheme& scheme) {
    return paper_bill(l.graph, scheme, 1).activation_bytes;
  };
  const int64_t convolution = 4 * kIn + 4 * kMid / kGroups, later = 4 * kMid;
  // The largest layer alone; the saved input of one, below the next.
  EXPECT_EQ(activations({{{l.head, Group::kHead}}}), convolution);
  EXPECT_EQ(activations({{{l.scale}}}), std::max(convolution, 4 * kMid + later));
  EXPECT_EQ(activations({{{l.convolution}}}), 4 * kIn + later);
  EXPECT_EQ(activations({{{l.convolution}, {l.scale}}}), 4 * kIn + 4 * kMid + later);
}

TEST(PaperAccounting, ActivationsSaveABitOrAValue) {
  // The classifier reads and writes less than anything else, and stands behind all that is saved.
  const auto peak_with = [](const Layers& l, Group group) {
    Graph wide = l.graph;
    wide.outputs = {linear(wide, "wide", wide.outputs[0], 1000)};
    const UpdateScheme scheme{{{l.graph.id_of("norm.bias"), group}}};
    return paper_bill(wide, scheme, 1).activation_bytes;
  };
  const int64_t classifier = 4 * (3 + 1000);
  EXPECT_EQ(peak_with(with_relu(), Group::kBackbone), classifier + kMid / 8);
  EXPECT_EQ(peak_with(one_of_each(1, kHardSwish, {}), Group::kBackbone), classifier + 4 * kMid);
  EXPECT_EQ(peak_with(with_relu(), Group::kHead), classifier);
}

TEST(PaperAccounting, TheBatchIsThatOfTheBillAndNotOfTheGraph) {
  const UpdateScheme scheme{{{with_relu().convolution}}};
  const PaperBill one = paper_bill(with_relu(1).graph, scheme, 8);
  const PaperBill four = paper_bill(with_relu(4).graph, scheme, 8);
  EXPECT_EQ(one.bytes(), four.bytes());
  EXPECT_EQ(one.activation_bytes, 8 * paper_bill(with_relu().graph, scheme, 1).activation_bytes);
}

// A network that a block ends, nothing saved. What the block holds shows at its widest layer.
class ResidualBlock : public testing::Test {
 protected:
  ResidualBlock() {
    x_ = graph_.add_input("x", {DType::kF32, {1, kSide, kSide, kChannels}});
    x_ = relu6(graph_, "stem.relu", convolution(graph_, "stem", x_, kChannels, 1));
  }

  // From x, `expand` times as wide in between.
  ValueId branch(const std::string& name, int64_t expand) {
    ValueId y = convolution(graph_, name + ".expand", x_, expand * kChannels, 1);
    y = relu6(graph_, name + ".relu", y);
    return convolution(graph_, name + ".project", y, kChannels, 1);
  }

  ValueId add(ValueId a, ValueId b) { return emit(graph_, kAdd, "add", {a, b}); }

  int64_t peak(ValueId output) {
    graph_.outputs = {output};
    return paper_bill(graph_, {}, 1).activation_bytes;
  }

  static int64_t widest(int64_t expand) { return 4 * (expand * kIn + kIn); }
  static constexpr int64_t kHeld = 4 * kIn;

  Graph graph_;
  ValueId x_{};
};

TEST_F(ResidualBlock, WithoutAShortcutHoldsNothing) {
  const ValueId main = branch("main", 3);
  EXPECT_EQ(peak(main), widest(3));
  EXPECT_EQ(peak(add(main, branch("lite", 6))), widest(6));
}

TEST_F(ResidualBlock, HoldsItsInput) {
  EXPECT_EQ(peak(add(x_, branch("main", 3))), widest(3) + kHeld);
}

TEST_F(ResidualBlock, HoldsItBesideEveryBranch) {
  const ValueId main = branch("main", 3);
  EXPECT_EQ(peak(add(x_, add(main, branch("lite", 6)))), widest(6) + kHeld);
}

TEST_F(ResidualBlock, HoldsItInWhicheverOrderBranchesAreAdded) {
  const ValueId sum = add(x_, branch("main", 3));
  EXPECT_EQ(peak(add(sum, branch("lite", 6))), widest(6) + kHeld);
}

TEST_F(ResidualBlock, HoldsAnInputThatIsProjected) {
  const ValueId main = branch("main", 3);
  EXPECT_EQ(peak(add(main, convolution(graph_, "shortcut", x_, kChannels, 1))), widest(3) + kHeld);
}

TEST_F(ResidualBlock, EndsBehindTheActivationOfItsSum) {
  const ValueId sum = add(x_, branch("main", 1));
  const ValueId relu = relu6(graph_, "relu", sum);
  const ValueId last = convolution(graph_, "last", relu, 2 * kChannels, 1);
  EXPECT_EQ(peak(last), std::max(widest(1) + kHeld, widest(2)));
}

}  // namespace
}  // namespace tinytl

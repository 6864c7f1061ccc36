// Shape rules: wrong inputs are reported in one line that names node and operator, and no shape,
// not even a senseless one, gets further than that.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ostream>

#include "tests/ops/support.h"

namespace tinytl {
namespace {

using testing::HasSubstr;
using testing::Not;

TensorType f32(Shape shape) { return {DType::kF32, std::move(shape)}; }
TensorType i32(Shape shape) { return {DType::kI32, std::move(shape)}; }

OutputTypes infer(const OpDef& op, const std::vector<TensorType>& inputs, Attributes attributes) {
  Node node{.name = "block3.conv1",
            .op = &op,
            .inputs = std::vector<ValueId>(inputs.size()),
            .outputs = {},
            .attributes = std::move(attributes)};
  return op.infer(node, inputs);
}

struct WrongCase {
  const char* rule;
  const char* label;  // an operator case that is right, before this change:
  std::vector<TensorType> inputs;
  Attributes changed;  // attributes that replace those of the case
  const char* message;
};
void PrintTo(const WrongCase& c, std::ostream* out) { *out << c.rule; }

using Ints = std::vector<int64_t>;

const std::vector<WrongCase>& wrong_cases() {
  static const std::vector<WrongCase> cases{
      {"ConvChannels", "Conv2d3x3Same", {f32({1, 8, 8, 4}), f32({3, 3, 3, 5})}, {}, "channels"},
      {"ConvRank", "Conv2d3x3Same", {f32({8, 8, 3}), f32({3, 3, 3, 5})}, {}, "rank 4"},
      {"ConvBias",
       "Conv2d3x3Same",
       {f32({1, 8, 8, 3}), f32({3, 3, 3, 5}), f32({4})},
       {},
       "b needs"},
      {"ConvTooSmall", "Conv2dNoBias", {f32({1, 2, 2, 3}), f32({3, 3, 3, 2})}, {}, "larger than"},
      {"ConvStride",
       "Conv2dNoBias",
       {f32({1, 4, 4, 3}), f32({3, 3, 3, 2})},
       {{"strides", Ints{0, 1}}},
       "must be positive"},
      {"ConvPads",
       "Conv2dNoBias",
       {f32({1, 4, 4, 3}), f32({3, 3, 3, 2})},
       {{"pads", Ints{1, 1}}},
       "4 pads"},
      {"ConvGroups",
       "Conv2dNoBias",
       {f32({1, 4, 4, 3}), f32({3, 3, 3, 2})},
       {{"groups", int64_t{0}}},
       "groups"},
      {"AccumulateChannels",
       "PointwiseAccumulate",
       {f32({1, 4, 4, 3}), f32({1, 4, 4, 5}), f32({1, 1, 3, 5})},
       {},
       "a and w do not fit"},
      {"AccumulateShape",
       "PointwiseAccumulateTransposed",
       {f32({1, 4, 1, 3}), f32({1, 4, 4, 5}), f32({1, 1, 3, 5})},
       {},
       "shape of the convolution"},
      {"AccumulateKernel",
       "PointwiseAccumulate",
       {f32({1, 4, 4, 3}), f32({1, 4, 4, 5}), f32({1, 3, 5, 3})},
       {},
       "1x1"},
      {"DepthwiseStride",
       "DepthwiseNoBias",
       {f32({1, 8, 8, 3}), f32({2, 3, 3})},
       {{"strides", Ints{1, -1}}},
       "must be positive"},
      {"DepthwiseChannels", "DepthwiseNoBias", {f32({1, 8, 8, 4}), f32({2, 3, 3})}, {}, "channels"},
      {"LinearFeatures", "LinearNoBias", {f32({2, 3}), f32({4, 5})}, {}, "number of features"},
      {"MatMulDepth", "MatMul", {f32({2, 3}), f32({4, 5})}, {}, "inner dimensions"},
      {"AddShapes", "AddSameShape", {f32({2, 3}), f32({2, 4})}, {}, "do not broadcast"},
      {"AddTypes", "AddSameShape", {f32({2}), i32({2})}, {}, "element type"},
      {"SumTo", "SumToChannels", {f32({2, 3})}, {}, "cannot be summed"},
      {"BroadcastTo", "BroadcastToImages", {f32({4})}, {}, "does not broadcast"},
      {"UnaryOfIntegers", "Sigmoid", {i32({2})}, {}, "one f32 tensor"},
      {"EluAlpha", "Elu", {f32({2})}, {{"alpha", -1.0f}}, "must not be negative"},
      {"MaskShape", "MaskScale", {f32({2}), {DType::kBit, {3}}}, {}, "bit mask"},
      {"PoolRank", "MaxPool2x2", {f32({2, 4, 4})}, {}, "rank 4"},
      {"PoolTooSmall", "MaxPool2x2", {f32({1, 1, 4, 3})}, {}, "larger than"},
      {"PoolPads", "MaxPool2x2", {f32({1, 4, 4, 3})}, {{"pads", Ints{2, 0, 0, 0}}}, "smaller than"},
      {"PoolStride", "MaxPool2x2", {f32({1, 4, 4, 3})}, {{"strides", Ints{0, 1}}}, "positive"},
      {"PoolAttributes",
       "MaxPool2x2",
       {f32({1, 4, 4, 3})},
       {{"kernel", Ints{2}}},
       "2 kernel sizes"},
      {"ReduceAxes", "ReduceMeanLast", {f32({2, 3})}, {}, "axes must be sorted"},
      {"ReduceTwice",
       "ReduceMeanLast",
       {f32({2, 3})},
       {{"axes", Ints{1, 1}}},
       "axes must be sorted"},
      {"SoftmaxAxis", "SoftmaxLast", {f32({2})}, {}, "no dimension 1"},
      {"LayerNormScale", "LayerNorm", {f32({2, 3}), f32({4}), f32({3})}, {}, "one entry per"},
      {"GroupNormScale",
       "GroupNorm",
       {f32({2, 3, 2, 6}), f32({4}), f32({6})},
       {{"groups", int64_t{2}}, {"epsilon", 0.0f}},
       "one entry per channel"},
      {"GroupNormGroups",
       "GroupNorm",
       {f32({2, 3, 2, 6}), f32({6}), f32({6})},
       {{"groups", int64_t{4}}, {"epsilon", 0.0f}},
       "into 4 groups"},
      {"GroupNormRank",
       "GroupNorm",
       {f32({2, 3, 6}), f32({6}), f32({6})},
       {{"groups", int64_t{2}}, {"epsilon", 0.0f}},
       "[N,H,W,C] or [N,C]"},
      {"StandardizeWeightVector",
       "StandardizeWeight",
       {f32({6})},
       {{"epsilon", 0.0f}},
       "output channels last"},
      {"LayerNormInputs", "LayerNorm", {f32({2, 3}), f32({3})}, {}, "x, scale and bias"},
      {"ConcatShapes", "ConcatRows", {f32({1, 3}), f32({1, 4})}, {}, "outside dimension 0"},
      {"ConcatRanks", "ConcatRows", {f32({1, 3}), f32({3})}, {}, "one rank"},
      {"SliceOutside",
       "SliceSteps",
       {f32({3, 7})},
       {{"starts", Ints{2, 0}}},
       "outside dimension 0"},
      {"SliceRank", "SliceSteps", {f32({5, 7, 2})}, {}, "every dimension"},
      {"PadNegative", "PadVector", {f32({3})}, {{"before", Ints{-1}}}, "must not be negative"},
      {"GatherIndex", "GatherRows", {f32({2, 3})}, {}, "index 2 is out of range"},
      {"ResizeRank", "ResizeNearestTwice", {f32({2, 3, 3})}, {}, "rank 4"},
      {"ResizeMode",
       "ResizeNearestTwice",
       {f32({1, 2, 2, 1})},
       {{"mode", int64_t{3}}},
       "mode must"},
      {"ReshapeSize", "Reshape", {f32({5})}, {}, "cannot be reshaped"},
      {"TransposePerm", "TransposeMatrix", {f32({2, 2})}, {{"perm", Ints{0, 0}}}, "perm must name"},
      {"Labels", "CrossEntropy", {f32({3, 5}), i32({4})}, {}, "labels must be i32[batch]"},
      {"Targets", "MeanSquaredError", {f32({2}), f32({3})}, {}, "one shape"},
      {"DropoutRate", "Dropout", {f32({2}), i32({2})}, {{"rate", 1.0f}}, "in [0, 1)"},
  };
  return cases;
}

class WrongInput : public testing::TestWithParam<WrongCase> {};

TEST_P(WrongInput, IsReportedWithNodeAndOperatorInOneLine) {
  const OpCase& right = op_case(GetParam().label);
  Attributes attributes = right.attributes;
  for (const auto& [name, value] : GetParam().changed.items()) attributes.set(name, value);
  try {
    infer(*right.op, GetParam().inputs, attributes);
    FAIL() << "was accepted";
  } catch (const InputError& error) {
    const std::string text = error.what();
    EXPECT_THAT(text, HasSubstr("\"block3.conv1\" (" + std::string(right.op->name) + ")"));
    EXPECT_THAT(text, HasSubstr(GetParam().message));
    EXPECT_THAT(text, HasSubstr(to_string(GetParam().inputs[0])));
    EXPECT_THAT(text, Not(HasSubstr("\n")));
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, WrongInput, testing::ValuesIn(wrong_cases()),
                         [](const auto& test) { return std::string(test.param.rule); });

// Any rule may accept or refuse what it is given here; it may not crash, nor accept a tensor
// without elements. Covers the gradient operators too: they are nodes of the gradient graph.
class SenselessInput : public testing::TestWithParam<OpCase> {};

TEST_P(SenselessInput, IsRefusedOrInferred) {
  const GradGraph g = gradient_graph(GetParam(), wanted_sets(GetParam()).back());
  for (const Node& node : g.graph.nodes()) {
    std::vector<TensorType> right;
    for (const ValueId id : node.inputs) right.push_back(g.graph.value(id).type);
    for (size_t i = 0; i < right.size(); ++i) {
      for (size_t rank = 0; rank < 10; ++rank) {
        for (const int64_t extent : {1, 2, 3, 17}) {
          std::vector<TensorType> wrong = right;
          wrong[i].shape.assign(rank, extent);
          try {
            for (const TensorType& type : node.op->infer(node, wrong)) {
              EXPECT_GT(type.elements(), 0) << node.op->name;
            }
          } catch (const InputError& error) {
            EXPECT_THAT(error.what(), HasSubstr(std::string(node.op->name)));
          }
        }
      }
    }
  }
}

TEST_P(SenselessInput, IsRefusedWhereThereIsNone) {
  const GradGraph g = gradient_graph(GetParam(), wanted_sets(GetParam()).back());
  for (const Node& node : g.graph.nodes()) {
    EXPECT_THROW(node.op->infer(node, {}), InputError) << node.op->name;
  }
}

TEST_P(SenselessInput, OfAnotherElementTypeIsRefusedOrInferred) {
  const OpCase& right = GetParam();
  for (const DType dtype : {DType::kI32, DType::kI8, DType::kBit}) {
    std::vector<TensorType> wrong = right.inputs;
    for (TensorType& type : wrong) type.dtype = dtype;
    try {
      infer(*right.op, wrong, right.attributes);
    } catch (const InputError& error) {
      EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, SenselessInput, testing::ValuesIn(op_cases()),
                         [](const auto& test) { return test.param.label; });

}  // namespace
}  // namespace tinytl

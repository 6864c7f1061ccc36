// What each operator keeps of the forward pass for its gradient: the memory claims of this engine,
// stated one operator at a time. `wanted` has one digit an input.

#include <gtest/gtest.h>

#include <ostream>

#include "tests/ops/support.h"

namespace tinytl {
namespace {

struct SavedCase {
  const char* rule;
  const char* label;                   // of the operator case
  const char* wanted;                  // inputs that need a gradient
  const char* saved;                   // as saved_values prints it
  std::vector<int64_t> channels = {};  // of input 1, where it trains in part
};
void PrintTo(const SavedCase& c, std::ostream* out) { *out << c.rule; }

const SavedCase kSaved[] = {
    {"BiasOnlyConvolutionKeepsNothing", "Conv2d3x3Same", "001", ""},
    {"FrozenConvolutionWeightDoesNotKeepItsInput", "Conv2d3x3Same", "101", "in1"},
    {"ConvolutionWeightKeepsTheInput", "Conv2d3x3Same", "010", "in0"},
    {"ConvolutionWeightKeepsItsChannelsOfTheInput", "Conv2d3x3Same", "010", "f32[2,4,5,1]", {1}},
    {"PointwiseWeightKeepsItsChannelsOfTheInput", "Conv2dPointwise", "010", "f32[2,3,3,2]", {0, 3}},
    {"GroupedWeightKeepsItsChannelsOfEveryGroup", "Conv2dGroups", "010", "f32[2,4,4,3]", {1}},
    {"DepthwiseWeightKeepsItsChannelsOfTheInput", "Depthwise3x3", "010", "f32[2,4,5,2]", {0, 2}},
    {"LinearWeightKeepsItsFeaturesOfTheInput", "LinearBatch2", "010", "f32[2,1]", {1}},
    {"BiasOnlyPointwiseAccumulateKeepsNothing", "PointwiseAccumulate", "1001", ""},
    {"FrozenPointwiseAccumulateDoesNotKeepItsInput", "PointwiseAccumulate", "1101", "in2"},
    {"PointwiseAccumulateWeightKeepsTheInput", "PointwiseAccumulate", "0010", "in1"},
    {"BiasOnlyDepthwiseKeepsNothing", "Depthwise3x3", "001", ""},
    {"FrozenDepthwiseWeightDoesNotKeepItsInput", "Depthwise3x3", "101", "in1"},
    {"BiasOnlyLinearKeepsNothing", "LinearBatch2", "001", ""},
    {"FrozenLinearWeightDoesNotKeepItsInput", "LinearBatch2", "101", "in1"},
    {"LinearWeightKeepsTheInput", "LinearBatch2", "111", "in0 in1"},
    {"FrozenMatMulOperandDoesNotKeepTheOther", "MatMul", "10", "in1"},
    {"AddKeepsNothing", "AddChannels", "11", ""},
    {"SubKeepsNothing", "SubChannels", "11", ""},
    {"MulByAFrozenFactorKeepsOnlyTheFactor", "MulChannels", "10", "in1"},
    {"MulKeepsBoth", "MulChannels", "11", "in0 in1"},
    {"DivByAFrozenDivisorKeepsOnlyTheDivisor", "DivChannels", "10", "in1"},
    {"DivKeepsDivisorAndQuotient", "DivChannels", "11", "in1 y"},
    {"ScaleKeepsNothing", "Scale", "1", ""},
    {"SumToKeepsNothing", "SumToChannels", "1", ""},
    {"BroadcastToKeepsNothing", "BroadcastToImages", "1", ""},
    {"ReluKeepsOneBitAnElement", "Relu", "1", "bit[2,3,5]"},
    {"Relu6KeepsOneBitAnElement", "Relu6", "1", "bit[2,3,5]"},
    {"LeakyReluKeepsOneBitAnElement", "LeakyRelu", "1", "bit[2,3,5]"},
    {"LeakyReluOfNegativeSlopeKeepsOneBit", "LeakyReluNegativeSlope", "1", "bit[2,3,5]"},
    {"AbsKeepsOneBitAnElement", "Abs", "1", "bit[2,3,5]"},
    {"HardSigmoidKeepsOneBitAnElement", "HardSigmoid", "1", "bit[2,3,5]"},
    {"HardSwishKeepsItsInput", "HardSwish", "1", "in0"},
    {"SigmoidKeepsItsOutput", "Sigmoid", "1", "y"},
    {"SiluKeepsItsInputOnly", "Silu", "1", "in0"},
    {"GeluKeepsItsInput", "GeluErf", "1", "in0"},
    {"TanhKeepsItsOutput", "Tanh", "1", "y"},
    {"EluKeepsItsOutput", "Elu", "1", "y"},
    {"SoftplusKeepsItsOutput", "Softplus", "1", "y"},
    {"ErfKeepsItsInput", "Erf", "1", "in0"},
    {"ExpKeepsItsOutput", "Exp", "1", "y"},
    {"LogKeepsItsInput", "Log", "1", "in0"},
    {"SqrtKeepsItsOutput", "Sqrt", "1", "y"},
    {"ReciprocalKeepsItsOutput", "Reciprocal", "1", "y"},
    {"NegKeepsNothing", "Neg", "1", ""},
    {"PowKeepsItsInput", "PowSquare", "1", "in0"},
    {"FirstPowerKeepsNothing", "PowOne", "1", ""},
    {"SoftmaxKeepsItsOutput", "SoftmaxLast", "1", "y"},
    {"LogSoftmaxKeepsItsOutput", "LogSoftmaxLast", "1", "y"},
    {"AveragePoolKeepsNothing", "AveragePool3x3Overlapping", "1", ""},
    {"MaxPoolKeepsOneByteAnOutput", "MaxPool2x2", "1", "i8[2,2,2,3]"},
    {"MaxPoolOfALargeWindowKeepsFourBytes", "MaxPoolWindowOf144", "1", "i32[1,1,2,1]"},
    {"ReduceMeanKeepsNothing", "ReduceMeanSpatial", "1", ""},
    {"ReduceSumKeepsNothing", "ReduceSumApart", "1", ""},
    {"LayerNormBiasKeepsNothing", "LayerNorm", "001", ""},
    {"FrozenLayerNormKeepsItsInput", "LayerNorm", "100", "in0 in1"},
    {"LayerNormKeepsItsInputOnly", "LayerNorm", "111", "in0 in1"},
    {"LayerNormScaleKeepsItsInput", "LayerNorm", "010", "in0"},
    {"BatchNormBiasKeepsNothing", "BatchNorm", "00100", ""},
    {"BatchNormKeepsItsInputOnly", "BatchNorm", "11100", "in0 in1"},
    {"GroupNormBiasKeepsNothing", "GroupNorm", "001", ""},
    {"FrozenGroupNormKeepsItsInput", "GroupNorm", "100", "in0 in1"},
    {"GroupNormKeepsItsInputOnly", "GroupNorm", "111", "in0 in1"},
    {"GroupNormScaleKeepsItsInput", "GroupNorm", "010", "in0"},
    {"StandardizeWeightKeepsTheWeight", "StandardizeWeight", "1", "in0"},
    {"CrossEntropyKeepsTheLogits", "CrossEntropy", "10", "in0 in1"},
    {"MeanSquaredErrorKeepsItsOperands", "MeanSquaredError", "10", "in0 in1"},
    {"DropoutSavesNothingButTheSeed", "Dropout", "10", "in1"},
    {"ReshapeKeepsNothing", "Reshape", "1", ""},
    {"TransposeKeepsNothing", "TransposeHeads", "1", ""},
    {"ConcatKeepsNothing", "ConcatChannels", "111", ""},
    {"SliceKeepsNothing", "SliceSteps", "1", ""},
    {"PadKeepsNothing", "PadImage", "1", ""},
    {"GatherKeepsNothing", "GatherRows", "1", ""},
    {"ResizeKeepsNothing", "ResizeBilinearOdd", "1", ""},
};

class SavedActivations : public testing::TestWithParam<SavedCase> {};

TEST_P(SavedActivations, AreExactlyThese) {
  std::vector<bool> wanted;
  for (const char* digit = GetParam().wanted; *digit != '\0'; ++digit) {
    wanted.push_back(*digit == '1');
  }
  EXPECT_EQ(saved_values(op_case(GetParam().label), wanted, GetParam().channels), GetParam().saved);
}

INSTANTIATE_TEST_SUITE_P(Ops, SavedActivations, testing::ValuesIn(kSaved),
                         [](const auto& test) { return std::string(test.param.rule); });

}  // namespace
}  // namespace tinytl

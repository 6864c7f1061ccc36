#include "tests/ops/op_cases.h"

#include <limits>
#include <ostream>

namespace tinytl {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

using Cases = std::vector<OpCase>;
using Ints = std::vector<int64_t>;

TensorType f32(Shape shape) { return {DType::kF32, std::move(shape)}; }
TensorType i32(Shape shape) { return {DType::kI32, std::move(shape)}; }
TensorType bit(Shape shape) { return {DType::kBit, std::move(shape)}; }

Attributes conv(Ints strides, Ints pads, Ints dilations = {1, 1}, int64_t groups = 1) {
  return {{"strides", std::move(strides)},
          {"pads", std::move(pads)},
          {"dilations", std::move(dilations)},
          {"groups", groups}};
}

void add_convolutions(Cases& cases) {
  const auto add = [&](const char* label, Shape x, Shape w, Attributes attributes,
                       bool bias = true) {
    OpCase c{label, &kConv2d, {f32(x), f32(w)}, std::move(attributes)};
    if (bias) c.inputs.push_back(f32({w.back()}));
    cases.push_back(std::move(c));
  };
  add("Conv2dPointwise", {2, 3, 3, 5}, {1, 1, 5, 7}, conv({1, 1}, {0, 0, 0, 0}));
  add("Conv2dPointwiseStride2", {1, 5, 4, 3}, {1, 1, 3, 9}, conv({2, 2}, {0, 0, 0, 0}));
  add("Conv2d3x3Same", {2, 4, 5, 3}, {3, 3, 3, 5}, conv({1, 1}, {1, 1, 1, 1}));
  add("Conv2dStride2AsymmetricPads", {1, 6, 5, 3}, {3, 3, 3, 4}, conv({2, 2}, {0, 0, 1, 1}));
  add("Conv2dUnevenStridesAndKernel", {1, 7, 6, 2}, {3, 2, 2, 3}, conv({2, 1}, {1, 0, 2, 1}));
  add("Conv2dDilated", {1, 7, 6, 2}, {3, 3, 2, 3}, conv({1, 1}, {2, 2, 2, 2}, {2, 2}));
  add("Conv2dGroups", {2, 4, 4, 6}, {3, 3, 2, 9}, conv({1, 1}, {1, 1, 1, 1}, {1, 1}, 3));
  add("Conv2dGroupsStride2", {1, 5, 5, 4}, {3, 3, 2, 6}, conv({2, 2}, {1, 1, 1, 1}, {1, 1}, 2));
  add("Conv2dNoBias", {1, 4, 4, 3}, {3, 3, 3, 2}, conv({1, 1}, {0, 0, 0, 0}), false);
  add("Conv2d5x5LeavesRest", {1, 8, 8, 1}, {5, 5, 1, 2}, conv({2, 2}, {0, 0, 0, 0}));
  add("Conv2dStrideBeyondKernel", {1, 7, 7, 2}, {2, 2, 2, 3}, conv({3, 3}, {0, 0, 0, 0}));
}

void add_pointwise_accumulate(Cases& cases) {
  const auto add = [&](const char* label, Shape acc, Shape a, Shape w, int64_t transposed,
                       bool bias) {
    const int64_t channels = acc.back();
    OpCase c{
        label, &kPointwiseAccumulate, {f32(acc), f32(a), f32(w)}, {{"transposed", transposed}}};
    if (bias) c.inputs.push_back(f32({channels}));
    cases.push_back(std::move(c));
  };
  add("PointwiseAccumulate", {2, 3, 2, 5}, {2, 3, 2, 7}, {1, 1, 7, 5}, 0, true);
  add("PointwiseAccumulateNoBias", {1, 3, 3, 4}, {1, 3, 3, 2}, {1, 1, 2, 4}, 0, false);
  add("PointwiseAccumulateTransposed", {2, 3, 2, 5}, {2, 3, 2, 7}, {1, 1, 5, 7}, 1, false);
  add("PointwiseAccumulateTransposedBias", {1, 2, 2, 3}, {1, 2, 2, 6}, {1, 1, 3, 6}, 1, true);
}

void add_depthwise(Cases& cases) {
  const auto add = [&](const char* label, Shape x, Shape w, Attributes attributes,
                       bool bias = true) {
    OpCase c{label, &kDepthwiseConv2d, {f32(x), f32(w)}, std::move(attributes)};
    if (bias) c.inputs.push_back(f32({w.back()}));
    cases.push_back(std::move(c));
  };
  add("Depthwise3x3", {2, 4, 5, 3}, {3, 3, 3}, conv({1, 1}, {1, 1, 1, 1}));
  add("Depthwise3x3Wide", {1, 3, 3, 19}, {3, 3, 19}, conv({1, 1}, {1, 1, 1, 1}));
  add("DepthwiseStride2AsymmetricPads", {1, 6, 6, 5}, {3, 3, 5}, conv({2, 2}, {0, 0, 1, 1}));
  add("Depthwise5x5Stride2", {1, 7, 7, 4}, {5, 5, 4}, conv({2, 2}, {2, 2, 2, 2}));
  add("DepthwiseDilated", {1, 6, 7, 3}, {3, 3, 3}, conv({1, 1}, {2, 2, 2, 2}, {2, 2}));
  add("DepthwiseNoBias", {2, 4, 4, 1}, {2, 3, 1}, conv({1, 2}, {0, 1, 0, 1}), false);
}

void add_products(Cases& cases) {
  const auto linear = [&](const char* label, Shape x, Shape w, bool bias) {
    OpCase c{label, &kLinear, {f32(x), f32(w)}};
    if (bias) c.inputs.push_back(f32({w.back()}));
    cases.push_back(std::move(c));
  };
  linear("LinearBatch1", {1, 3}, {3, 4}, true);
  linear("LinearBatch2", {2, 7}, {7, 5}, true);
  linear("LinearOneOutput", {2, 3}, {3, 1}, true);
  linear("LinearNoBias", {3, 5}, {5, 4}, false);
  linear("LinearSequence", {2, 3, 5}, {5, 4}, true);

  const auto matmul = [&](const char* label, Shape a, Shape b, int64_t ta, int64_t tb) {
    cases.push_back(
        {label, &kMatMul, {f32(a), f32(b)}, {{"transpose_a", ta}, {"transpose_b", tb}}});
  };
  matmul("MatMul", {3, 5}, {5, 4}, 0, 0);
  matmul("MatMulTransposeA", {5, 3}, {5, 4}, 1, 0);
  matmul("MatMulTransposeB", {3, 5}, {4, 5}, 0, 1);
  matmul("MatMulTransposeBoth", {5, 3}, {4, 5}, 1, 1);
  matmul("MatMulBatches", {2, 3, 2, 4}, {2, 3, 4, 3}, 0, 0);
  matmul("MatMulBatchesTransposeA", {2, 4, 2}, {2, 4, 3}, 1, 0);
  matmul("MatMulBatchesTransposeB", {2, 2, 4}, {2, 3, 4}, 0, 1);
  matmul("MatMulBatchesTransposeBoth", {2, 4, 2}, {2, 3, 4}, 1, 1);
  matmul("MatMulSharedB", {2, 3, 4}, {4, 2}, 0, 0);
  matmul("MatMulSharedBTransposeA", {2, 4, 3}, {4, 2}, 1, 0);
  matmul("MatMulSharedA", {3, 4}, {2, 4, 2}, 0, 0);
  matmul("MatMulBroadcastBothWays", {2, 1, 2, 3}, {1, 3, 3, 2}, 0, 0);
  matmul("MatMulBroadcastTransposed", {2, 1, 3, 2}, {3, 2, 3}, 1, 1);
}

void add_arithmetic(Cases& cases) {
  const auto add = [&](const std::string& label, const OpDef& op, float low) {
    const auto pair = [&](const char* suffix, Shape x, Shape y) {
      cases.push_back({.label = label + suffix,
                       .op = &op,
                       .inputs = {f32(std::move(x)), f32(std::move(y))},
                       .low = low,
                       .high = 2.0f});
    };
    pair("SameShape", {2, 3, 5}, {2, 3, 5});
    pair("Channels", {2, 3, 2, 5}, {5});
    pair("SqueezeExcite", {2, 3, 2, 5}, {2, 1, 1, 5});
    pair("OuterProduct", {4, 1}, {1, 3});
    pair("LowerRankFirst", {3}, {2, 1, 3});
    pair("ByOneNumber", {2, 3}, {1});
    pair("Scalars", {}, {});
  };
  add("Add", kAdd, -2.0f);
  add("Sub", kSub, -2.0f);
  add("Mul", kMul, -2.0f);
  add("Div", kDiv, 0.5f);

  cases.push_back({"Scale", &kScale, {f32({2, 3})}, {{"factor", -2.5f}}});
  const auto sum = [&](const char* label, Shape from, Shape to) {
    cases.push_back({label, &kSumTo, {f32(std::move(from))}, {{"shape", std::move(to)}}});
  };
  sum("SumToChannels", {2, 3, 2, 5}, {5});
  sum("SumToMiddle", {2, 3, 4}, {1, 3, 1});
  sum("SumToImages", {2, 2, 3, 5}, {2, 1, 1, 5});
  sum("SumToOneNumber", {2, 3}, {1});
  sum("SumToScalar", {2, 3}, {});
  sum("SumToSameShape", {2, 3}, {2, 3});
  const auto broadcast = [&](const char* label, Shape from, Shape to) {
    cases.push_back({label, &kBroadcastTo, {f32(std::move(from))}, {{"shape", std::move(to)}}});
  };
  broadcast("BroadcastToImages", {5}, {2, 3, 2, 5});
  broadcast("BroadcastToMiddle", {2, 1, 3}, {2, 4, 3});
  broadcast("BroadcastScalar", {}, {2, 3});
}

// Activations of one input and no second one; two shapes each, one of them no multiple of 8.
void add_activations(Cases& cases) {
  const auto add = [&](const std::string& label, const OpDef& op, float low, float high,
                       Attributes attributes = {}, std::vector<float> kinks = {}) {
    OpCase c{label, &op, {f32({2, 3, 5})}, std::move(attributes), low, high, std::move(kinks)};
    cases.push_back(c);
    c.label += "Odd";
    c.inputs = {f32({1, 3})};
    cases.push_back(std::move(c));
  };
  add("Relu", kClip, -2, 2, {{"low", 0.0f}, {"high", kInfinity}}, {0});
  add("Relu6", kClip, -3, 9, {{"low", 0.0f}, {"high", 6.0f}}, {0, 6});
  add("LeakyRelu", kLeakyRelu, -2, 2, {{"alpha", 0.1f}}, {0});
  add("LeakyReluZeroSlope", kLeakyRelu, -2, 2, {{"alpha", 0.0f}}, {0});
  add("LeakyReluNegativeSlope", kLeakyRelu, -2, 2, {{"alpha", -0.5f}}, {0});
  add("Abs", kAbs, -2, 2, {}, {0});
  add("HardSigmoid", kHardSigmoid, -4, 4, {{"alpha", 0.2f}, {"beta", 0.5f}}, {-2.5f, 2.5f});
  add("HardSwish", kHardSwish, -4, 4, {}, {-3, 3});
  add("Sigmoid", kSigmoid, -4, 4);
  add("Silu", kSilu, -4, 4);
  add("GeluErf", kGelu, -3, 3, {{"tanh", int64_t{0}}});
  add("GeluTanh", kGelu, -3, 3, {{"tanh", int64_t{1}}});
  add("Tanh", kTanh, -2, 2);
  add("Elu", kElu, -2, 2, {{"alpha", 1.0f}}, {0});
  add("EluSteep", kElu, -2, 2, {{"alpha", 1.7f}}, {0});
  add("Softplus", kSoftplus, -4, 4);
  add("Erf", kErf, -2, 2);
  add("Exp", kExp, -2, 2);
  add("Log", kLog, 0.5f, 3);
  add("Sqrt", kSqrt, 0.5f, 3);
  add("Reciprocal", kReciprocal, 0.6f, 3);
  add("ReciprocalNegative", kReciprocal, -3, -0.6f);
  add("Neg", kNeg, -2, 2);
  add("PowSquare", kPow, -2, 2, {{"exponent", 2.0f}});
  add("PowCube", kPow, -2, 2, {{"exponent", 3.0f}});
  add("PowSqrt", kPow, 0.5f, 3, {{"exponent", 0.5f}});
  add("PowNegative", kPow, 0.7f, 3, {{"exponent", -1.5f}});
  add("PowOne", kPow, -2, 2, {{"exponent", 1.0f}});
  add("PowZero", kPow, -2, 2, {{"exponent", 0.0f}});

  cases.push_back({"MaskApply", &kMaskApply, {f32({2, 7}), bit({2, 7})}});
  cases.push_back(
      {"MaskScale", &kMaskScale, {f32({3, 5}), bit({3, 5})}, {{"set", 0.5f}, {"clear", -2.0f}}});
}

void add_softmax(Cases& cases) {
  const auto add = [&](const std::string& suffix, Shape shape, int64_t axis) {
    cases.push_back({"Softmax" + suffix, &kSoftmax, {f32(shape)}, {{"axis", axis}}, -2.0f, 2.0f});
    cases.push_back(
        {"LogSoftmax" + suffix, &kLogSoftmax, {f32(shape)}, {{"axis", axis}}, -2.0f, 2.0f});
  };
  add("Last", {2, 5}, 1);
  add("First", {5, 2}, 0);
  add("Middle", {2, 3, 4}, 1);
  add("OneClass", {3, 1}, 1);
}

void add_pools(Cases& cases) {
  const auto pool = [&](const std::string& suffix, Shape x, Ints kernel, Ints strides, Ints pads,
                        int64_t ceil_mode) {
    Attributes attributes{{"kernel", std::move(kernel)},
                          {"strides", std::move(strides)},
                          {"pads", std::move(pads)},
                          {"ceil_mode", ceil_mode}};
    cases.push_back({.label = "MaxPool" + suffix,
                     .op = &kMaxPool,
                     .inputs = {f32(x)},
                     .attributes = attributes,
                     .distinct = true});
    attributes.set("count_include_pad", int64_t{0});
    cases.push_back({"AveragePool" + suffix, &kAveragePool, {f32(x)}, attributes});
    attributes.set("count_include_pad", int64_t{1});
    cases.push_back({"AveragePoolWithPad" + suffix, &kAveragePool, {f32(x)}, attributes});
  };
  pool("2x2", {2, 4, 4, 3}, {2, 2}, {2, 2}, {0, 0, 0, 0}, 0);
  pool("3x3Overlapping", {1, 5, 6, 3}, {3, 3}, {2, 2}, {1, 1, 1, 1}, 0);
  pool("AsymmetricPads", {1, 5, 5, 2}, {3, 3}, {2, 2}, {0, 0, 1, 1}, 0);
  pool("Uneven", {1, 6, 5, 2}, {3, 2}, {1, 2}, {1, 0, 0, 1}, 0);
  pool("CeilMode", {1, 6, 5, 2}, {3, 3}, {2, 2}, {0, 0, 0, 0}, 1);
  pool("CeilModePads", {1, 6, 6, 1}, {3, 3}, {2, 2}, {1, 1, 1, 1}, 1);
  pool("CeilModeAsymmetricPads", {1, 5, 5, 2}, {3, 3}, {2, 2}, {1, 1, 0, 0}, 1);
  pool("CeilModeWindowBeyondInput", {1, 5, 5, 1}, {2, 2}, {3, 3}, {1, 1, 1, 1}, 1);
  pool("Global", {2, 3, 4, 3}, {3, 4}, {1, 1}, {0, 0, 0, 0}, 0);
  pool("WindowOf144", {1, 12, 13, 1}, {12, 12}, {1, 1}, {0, 0, 0, 0}, 0);  // 4-byte argmax
}

void add_reductions(Cases& cases) {
  const auto add = [&](const std::string& suffix, Shape shape, Ints axes, int64_t keepdims) {
    const Attributes attributes{{"axes", axes}, {"keepdims", keepdims}};
    cases.push_back({"ReduceMean" + suffix, &kReduceMean, {f32(shape)}, attributes});
    cases.push_back({"ReduceSum" + suffix, &kReduceSum, {f32(shape)}, attributes});
  };
  add("Spatial", {2, 3, 2, 5}, {1, 2}, 0);
  add("SpatialKept", {2, 3, 2, 5}, {1, 2}, 1);
  add("Last", {2, 3, 5}, {2}, 1);
  add("First", {3, 4}, {0}, 0);
  add("Apart", {2, 3, 4}, {0, 2}, 0);
  add("ApartKept", {2, 3, 2, 2}, {1, 3}, 1);
  add("All", {2, 3, 2}, {0, 1, 2}, 0);
  add("Nothing", {2, 3}, {}, 0);
}

void add_norms_and_losses(Cases& cases) {
  const auto norm = [&](const char* label, Shape x) {
    const Shape channels{x.back()};
    cases.push_back({label,
                     &kLayerNorm,
                     {f32(std::move(x)), f32(channels), f32(channels)},
                     {{"epsilon", 1e-2f}},
                     -2.0f,
                     2.0f});
  };
  norm("LayerNorm", {3, 7});
  norm("LayerNormSequence", {2, 3, 5});
  norm("LayerNormVector", {6});

  const auto group_norm = [&](const char* label, Shape x, int64_t groups) {
    const Shape channels{x.back()};
    cases.push_back({label,
                     &kGroupNorm,
                     {f32(std::move(x)), f32(channels), f32(channels)},
                     {{"groups", groups}, {"epsilon", 1e-2f}},
                     -2.0f,
                     2.0f});
  };
  group_norm("GroupNorm", {2, 3, 2, 6}, 2);
  group_norm("GroupNormOfOneChannel", {2, 3, 3, 5}, 5);
  group_norm("GroupNormOneGroup", {2, 2, 3, 3}, 1);
  group_norm("GroupNormWide", {1, 1, 2, 72}, 1);
  group_norm("GroupNormFlat", {2, 8}, 2);

  const auto batch_norm = [&](const char* label, Shape x) {
    const TensorType channels = f32({x.back()});
    cases.push_back({label,
                     &kBatchNorm,
                     {f32(std::move(x)), channels, channels, channels, channels},
                     {{"epsilon", 1e-2f}},
                     -2.0f,
                     2.0f});
  };
  batch_norm("BatchNorm", {2, 3, 2, 5});
  batch_norm("BatchNormOfOneSample", {1, 2, 3, 3});
  batch_norm("BatchNormWide", {3, 1, 1, 72});
  batch_norm("BatchNormFlat", {5, 4});

  const auto standardize = [&](const char* label, Shape w) {
    cases.push_back(
        {label, &kStandardizeWeight, {f32(std::move(w))}, {{"epsilon", 1e-2f}}, -2.0f, 2.0f});
  };
  standardize("StandardizeWeight", {3, 3, 2, 3});
  standardize("StandardizeWeightPointwise", {1, 1, 7, 5});
  standardize("StandardizeWeightDepthwise", {3, 3, 4});
  standardize("StandardizeWeightOfTwo", {2, 1, 1, 3});

  for (const float smoothing : {0.0f, 0.1f}) {
    cases.push_back({.label = smoothing > 0 ? "CrossEntropySmoothed" : "CrossEntropy",
                     .op = &kSoftmaxCrossEntropy,
                     .inputs = {f32({3, 5}), i32({3})},
                     .attributes = {{"label_smoothing", smoothing}},
                     .low = -2.0f,
                     .high = 2.0f,
                     .i32_below = 5});
  }
  cases.push_back({"MeanSquaredError", &kMeanSquaredError, {f32({2, 3}), f32({2, 3})}});
  cases.push_back({"Dropout", &kDropout, {f32({4, 5}), i32({2})}, {{"rate", 0.3f}}, -1.0f, 1.0f});
}

void add_shapes(Cases& cases) {
  const auto add = [&](const char* label, const OpDef& op, Shape x, Attributes attributes) {
    cases.push_back({label, &op, {f32(std::move(x))}, std::move(attributes)});
  };
  add("Reshape", kReshape, {2, 3, 4}, {{"shape", Ints{4, 6}}});
  add("ReshapeToScalar", kReshape, {1, 1}, {{"shape", Ints{}}});
  add("TransposeMatrix", kTranspose, {3, 5}, {{"perm", Ints{1, 0}}});
  add("TransposeHeads", kTranspose, {2, 3, 2, 4}, {{"perm", Ints{0, 2, 1, 3}}});
  add("TransposeCycle", kTranspose, {2, 3, 4}, {{"perm", Ints{2, 0, 1}}});

  const auto concat = [&](const char* label, std::vector<TensorType> inputs, int64_t axis) {
    cases.push_back({label, &kConcat, std::move(inputs), {{"axis", axis}}});
  };
  concat("ConcatChannels", {f32({2, 2, 2, 3}), f32({2, 2, 2, 1}), f32({2, 2, 2, 2})}, 3);
  concat("ConcatRows", {f32({1, 3}), f32({2, 3})}, 0);
  concat("ConcatMiddle", {f32({2, 1, 3}), f32({2, 3, 3})}, 1);
  concat("ConcatOne", {f32({2, 3})}, 1);

  const auto slice = [&](const std::string& suffix, Shape x, Ints starts, Ints sizes, Ints steps) {
    Attributes attributes{{"starts", starts}, {"sizes", sizes}, {"steps", steps}};
    cases.push_back({"Slice" + suffix, &kSlice, {f32(x)}, attributes});
    attributes.set("shape", x);
    cases.push_back({"SliceGrad" + suffix, &kSliceGrad, {f32(sizes)}, attributes});
  };
  slice("Channels", {2, 2, 5}, {0, 0, 1}, {2, 2, 3}, {1, 1, 1});
  slice("Steps", {5, 7}, {1, 0}, {2, 3}, {2, 3});
  slice("Backwards", {4, 5}, {3, 4}, {4, 2}, {-1, -2});
  slice("Reversed", {3, 4}, {2, 3}, {3, 4}, {-1, -1});
  slice("OneElement", {2, 3}, {1, 2}, {1, 1}, {1, 1});

  add("PadImage", kPad, {1, 2, 3, 2},
      {{"before", Ints{0, 1, 0, 0}}, {"after", Ints{0, 0, 2, 0}}, {"value", 0.5f}});
  add("PadVector", kPad, {3}, {{"before", Ints{2}}, {"after", Ints{1}}, {"value", 0.0f}});

  const auto gather = [&](const std::string& suffix, Shape x, int64_t axis, Ints indices) {
    Attributes attributes{{"axis", axis}, {"indices", indices}};
    cases.push_back({"Gather" + suffix, &kGather, {f32(x)}, attributes});
    attributes.set("shape", x);
    Shape gathered = x;
    gathered[static_cast<size_t>(axis)] = static_cast<int64_t>(indices.size());
    cases.push_back({"GatherGrad" + suffix, &kGatherGrad, {f32(gathered)}, attributes});
  };
  gather("Rows", {4, 3}, 0, {2, 0, 2});
  gather("Channels", {2, 2, 5}, 2, {4, 3, 2, 1, 0});
  gather("Middle", {2, 3, 2}, 1, {1});

  const auto resize = [&](const std::string& suffix, Shape x, Ints size) {
    const char* modes[] = {"Nearest", "Bilinear", "AlignCorners"};
    for (int64_t mode = 0; mode < 3; ++mode) {
      Attributes attributes{{"size", size}, {"mode", mode}};
      cases.push_back(
          {std::string("Resize") + modes[mode] + suffix, &kResize, {f32(x)}, attributes});
      attributes.set("shape", x);
      cases.push_back({std::string("ResizeGrad") + modes[mode] + suffix,
                       &kResizeGrad,
                       {f32({x[0], size[0], size[1], x[3]})},
                       attributes});
    }
  };
  resize("Twice", {2, 2, 3, 3}, {4, 6});
  resize("Odd", {1, 3, 4, 2}, {5, 7});
  resize("Down", {1, 5, 6, 2}, {2, 4});
  resize("FromOnePixel", {1, 1, 1, 3}, {2, 3});
  resize("ToOnePixel", {1, 3, 2, 1}, {1, 1});
}

Cases make_cases() {
  Cases cases;
  add_convolutions(cases);
  add_pointwise_accumulate(cases);
  add_depthwise(cases);
  add_products(cases);
  add_arithmetic(cases);
  add_activations(cases);
  add_softmax(cases);
  add_pools(cases);
  add_reductions(cases);
  add_norms_and_losses(cases);
  add_shapes(cases);
  return cases;
}

}  // namespace

void PrintTo(const OpCase& op_case, std::ostream* out) { *out << op_case.label; }

const std::vector<OpCase>& op_cases() {
  static const Cases cases = make_cases();
  return cases;
}

const OpCase& op_case(const std::string& label) {
  for (const OpCase& c : op_cases()) {
    if (c.label == label) return c;
  }
  throw InputError("no operator case is called " + label);
}

}  // namespace tinytl

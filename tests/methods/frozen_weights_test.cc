// Which weights are stored in 8 bits, and that a step computes with them.

#include "tinytl/methods/frozen_weights.h"

#include <gmock/gmock.h>

#include <cmath>

#include "autodiff/differentiate.h"
#include "engine/graph/packed.h"
#include "engine/ops/passes.h"
#include "engine/runtime/executor.h"
#include "engine/schedule/tile.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

// Layers large enough for a table of 256 numbers.
Graph wide_network() {
  Graph g;
  g.source = "wide";
  ValueId x = g.add_input("x", {DType::kF32, {2, 6, 6, 16}});
  x = relu6(g, "a", convolution(g, "expand", x, 48, 1));
  x = relu6(g, "b", convolution(g, "spatial", x, 32, 3));
  x = convolution(g, "project", x, 16, 1);
  x = emit(g, kReduceMean, "mean", {x}, {{"axes", Shape{1, 2}}, {"keepdims", int64_t{0}}});
  g.outputs = {linear(g, "fc", x, 5)};
  return g;
}

std::vector<ValueId> biases_of(const Graph& graph) {
  std::vector<ValueId> result;
  for (const ValueId id : parameters_of(graph)) {
    if (graph.value(id).role == Role::kBias) result.push_back(id);
  }
  return result;
}

// Loss and gradients of all biases.
std::vector<float> step_of(const Graph& network) {
  UpdateScheme scheme;
  for (const ValueId id : biases_of(network)) scheme.parameters.push_back({id});
  GradientGraph g = differentiate(network, {}, scheme);
  for (const ParameterGradient& p : g.gradients) g.graph.outputs.push_back(p.gradient);
  decode_tables(g.graph);
  Executor executor(g.graph);
  std::mt19937 rng(3);
  for (float& v : executor.f32(g.graph.inputs[0])) v = static_cast<float>(rng() % 100) / 50 - 1;
  for (int32_t& v : executor.i32(g.target)) v = static_cast<int32_t>(rng() % 5);
  executor.step();
  std::vector<float> result{executor.f32(g.loss)[0]};
  for (const ParameterGradient& p : g.gradients) {
    const auto values = executor.f32(p.gradient);
    result.insert(result.end(), values.begin(), values.end());
  }
  return result;
}

// The same network with f32 weights of the numbers that the packed ones stand for.
Graph unpacked(Graph graph) {
  for (const ValueId id : parameters_of(graph)) {
    Value& value = graph.value(id);
    if (!is_packed(value.type.dtype)) continue;
    std::vector<float> numbers(static_cast<size_t>(value.type.elements()));
    unpack(*value.data, numbers);
    value.data = make_tensor(value.type.shape, numbers);
    value.type = value.data->type();
  }
  return graph;
}

// Against the largest.
double difference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double most = 0, largest = 1e-30;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    most = std::max(most, std::abs(double{a[i]} - double{b[i]}));
    largest = std::max(largest, std::abs(double{a[i]}));
  }
  return most / largest;
}

class Formats : public testing::TestWithParam<FrozenWeights> {};
INSTANTIATE_TEST_SUITE_P(All, Formats,
                         testing::Values(FrozenWeights::kInt8, FrozenWeights::kKmeans),
                         [](const auto& test) { return std::string(name_of(test.param)); });

TEST_P(Formats, StepComputesWithWhatThePackedWeightsStandFor) {
  const Graph network = wide_network();
  Graph packed = network;
  freeze_weights(packed, biases_of(packed), GetParam());
  EXPECT_LT(difference(step_of(unpacked(packed)), step_of(packed)), 1e-5);
  const double change = difference(step_of(network), step_of(packed));
  EXPECT_GT(change, 1e-6);
  EXPECT_LT(change, 0.1);
}

TEST_P(Formats, NetworkInPiecesComputesTheSame) {
  Graph packed = wide_network();
  freeze_weights(packed, biases_of(packed), GetParam());
  for (const Region& region : find_regions(packed)) {
    const Graph pieces = prune(tile(packed, {{{region, 2}}}));
    EXPECT_LT(difference(step_of(packed), step_of(pieces)), 1e-5);
    for (const Node& node : pieces.nodes()) {
      for (const ValueId id : node.inputs) {
        const bool is_copy = node.op == &kSlice && pieces.value(id).role == Role::kWeight;
        EXPECT_FALSE(is_copy && region.cut == Cut::kChannels &&
                     is_packed(pieces.value(id).type.dtype));
      }
    }
  }
}

TEST(FrozenWeights, TrainedOnesAndBiasesStayFloats) {
  Graph network = mlp(2, 60, {50, 40, 30});
  const ValueId trained = network.id_of("fc1.weight");
  freeze_weights(network, {trained}, FrozenWeights::kInt8);
  EXPECT_EQ(network.find("fc0.weight")->type.dtype, DType::kQ8);
  EXPECT_EQ(network.find("fc1.weight")->type.dtype, DType::kF32);
  EXPECT_EQ(network.find("fc2.weight")->type.dtype, DType::kQ8);
  EXPECT_EQ(network.find("fc2.bias")->type.dtype, DType::kF32);
}

TEST(FrozenWeights, WhatOtherOperatorsReadStaysFloat) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::kF32, {2, 40}});
  const ValueId w = add_weight(g, "w", {40, 40});
  const Attributes plain{{"transpose_a", int64_t{0}}, {"transpose_b", int64_t{0}}};
  g.outputs = {emit(g, kMatMul, "y", {x, w}, plain)};
  Graph shared = g;
  shared.outputs.push_back(emit(shared, kAdd, "sum", {w, w}));
  freeze_weights(g, {}, FrozenWeights::kInt8);
  freeze_weights(shared, {}, FrozenWeights::kInt8);
  EXPECT_EQ(g.value(w).type.dtype, DType::kQ8);
  EXPECT_EQ(shared.value(w).type.dtype, DType::kF32);
}

TEST(FrozenWeights, WhatSavesNoBytesOrIsNotFiniteStaysFloat) {
  Graph network = mlp(2, 60, {50});
  Graph narrow = mlp(2, 1, {50});
  network.find("fc0.weight")->data->f32()[3] = INFINITY;
  freeze_weights(network, {}, FrozenWeights::kInt8);
  freeze_weights(narrow, {}, FrozenWeights::kInt8);
  EXPECT_EQ(network.find("fc0.weight")->type.dtype, DType::kF32);
  EXPECT_EQ(narrow.find("fc0.weight")->type.dtype, DType::kF32);
}

TEST(FrozenWeights, FloatsAreFreedOneByOne) {
  Graph network = mlp(2, 60, {50, 40});
  const std::weak_ptr<Tensor> before = network.find("fc0.weight")->data;
  freeze_weights(network, {}, FrozenWeights::kInt8);
  EXPECT_TRUE(before.expired());
}

TEST(DecodeTables, KeepNothingDecodedBetweenThePasses) {
  Graph packed = wide_network();
  freeze_weights(packed, biases_of(packed), FrozenWeights::kKmeans);
  UpdateScheme scheme;
  for (const ValueId id : biases_of(packed)) scheme.parameters.push_back({id});
  GradientGraph g = differentiate(packed, {}, scheme);
  decode_tables(g.graph);
  verify(g.graph);
  for (const ValueId id : saved_values(g.graph)) {
    EXPECT_NE(g.graph.node(g.graph.value(id).producer).op, &kDecodeTable);
  }
}

}  // namespace
}  // namespace tinytl

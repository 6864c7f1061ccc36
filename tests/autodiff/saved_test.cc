// What training keeps of the forward pass: the memory claims of the update methods.

#include <gmock/gmock.h>

#include <algorithm>

#include "autodiff/differentiate.h"
#include "engine/schedule/schedule.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

UpdateScheme parameters_with(const Graph& graph, bool weights) {
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(graph)) {
    if (weights || graph.value(id).role == Role::kBias) scheme.parameters.push_back({id});
  }
  return scheme;
}

size_t count(const Graph& graph, const OpDef& op) {
  return static_cast<size_t>(std::count_if(graph.nodes().begin(), graph.nodes().end(),
                                           [&](const Node& node) { return node.op == &op; }));
}

std::vector<DType> saved_types(const Graph& graph) {
  std::vector<DType> types;
  for (const ValueId id : saved_values(graph)) {
    if (id != graph.outputs[1]) types.push_back(graph.value(id).type.dtype);  // the prediction
  }
  return types;
}

TEST(SavedValues, BiasOnlySavesOneBitPerRelu) {
  const Graph model = small_cnn(2);
  const Graph graph = differentiate(model, {}, parameters_with(model, /*weights=*/false)).graph;
  EXPECT_EQ(saved_types(graph), std::vector<DType>(5, DType::kBit));
  EXPECT_EQ(count(graph, kMaskApply), 5u);
  EXPECT_EQ(count(graph, kClipGrad), 0u);
}

TEST(SavedValues, FullSavesInputsAndTakesTheMaskFromThem) {
  const Graph model = small_cnn(2);
  const Graph graph = differentiate(model, {}, parameters_with(model, /*weights=*/true)).graph;
  const std::vector<DType> types = saved_types(graph);
  EXPECT_EQ(types, std::vector<DType>(types.size(), DType::kF32));
  EXPECT_EQ(count(graph, kClipMask), 0u);
  EXPECT_EQ(count(graph, kMaskApply), 0u);
  EXPECT_EQ(count(graph, kClipGrad), 5u);
}

// The argmax reads the ReLU's output beside the forward pass; it does not keep it.
TEST(SavedValues, ReluBeforeAMaxPoolStillSavesOneBit) {
  Graph model;
  const ValueId x = model.add_input("x", {DType::kF32, {1, 8, 8, 3}});
  ValueId y = relu6(model, "relu", convolution(model, "conv", x, 8, /*kernel=*/3));
  y = emit(model, kMaxPool, "pool", {y},
           {{"kernel", std::vector<int64_t>{2, 2}},
            {"strides", std::vector<int64_t>{2, 2}},
            {"pads", std::vector<int64_t>{0, 0, 0, 0}},
            {"ceil_mode", int64_t{0}}});
  y = emit(model, kReshape, "flatten", {y}, {{"shape", Shape{1, 128}}});
  model.outputs = {linear(model, "fc", y, 5)};
  const Graph graph = differentiate(model, {}, parameters_with(model, /*weights=*/false)).graph;
  EXPECT_THAT(saved_types(graph), testing::UnorderedElementsAre(DType::kBit, DType::kI8));
}

TEST(SavedValues, TheClassifierAloneKeepsOnlyItsInput) {
  const Graph model = small_cnn(2);
  const UpdateScheme scheme{{{model.id_of("fc.weight")}, {model.id_of("fc.bias")}}};
  const Graph graph = differentiate(model, {}, scheme).graph;
  std::vector<std::string> names;
  for (const ValueId id : saved_values(graph)) names.push_back(graph.value(id).name);
  EXPECT_THAT(names, testing::UnorderedElementsAre("pool", "fc"));
}

TEST(SavedValues, PersistentValuesAndInputsAreNotCounted) {
  const Graph model = mlp(2, 3, {4, 5});
  const Graph graph = differentiate(model, {}, parameters_with(model, /*weights=*/true)).graph;
  for (const ValueId id : saved_values(graph)) {
    EXPECT_EQ(graph.value(id).role, Role::kActivation);
  }
}

TEST(SavedValues, BiasOnlyNeedsASmallPartOfTheArenaOfFull) {
  const Graph model = small_cnn(8);
  const auto arena_bytes = [&](bool weights) {
    const Graph graph = differentiate(model, {}, parameters_with(model, weights)).graph;
    const Buffers buffers = assign_buffers(graph, schedule(graph), tt_portable_kernels);
    return plan_memory(buffers.lifetimes).arena_bytes;
  };
  EXPECT_LT(2 * arena_bytes(false), arena_bytes(true));
}

}  // namespace
}  // namespace tinytl

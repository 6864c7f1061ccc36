// Values, nodes, tensors, attributes.

#include "engine/graph/graph.h"

#include <gmock/gmock.h>

#include "tests/graph/support.h"

namespace tinytl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(TensorType, CountsBytesOfEveryElementType) {
  EXPECT_EQ((TensorType{DType::kF32, {2, 3}}).bytes(), 24u);
  EXPECT_EQ((TensorType{DType::kI32, {}}).bytes(), 4u);
  EXPECT_EQ((TensorType{DType::kI8, {5}}).bytes(), 5u);
  EXPECT_EQ((TensorType{DType::kBit, {8}}).bytes(), 1u);
  EXPECT_EQ((TensorType{DType::kBit, {9}}).bytes(), 2u);
}

TEST(TensorType, PrintsItsElementTypeAndShape) {
  EXPECT_EQ(to_string(TensorType{DType::kF32, {8, 112, 32}}), "f32[8,112,32]");
  EXPECT_EQ(to_string(TensorType{DType::kBit, {}}), "bit[]");
}

TEST(Tensor, StartsAtZeroAndAligned) {
  const Tensor tensor({DType::kF32, {17}});
  EXPECT_THAT(tensor.f32(), testing::Each(0.0f));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.bytes().data()) % 64, 0u);
}

TEST(Attributes, SetReplacesAndKeepsOrder) {
  Attributes attributes{{"axis", int64_t{1}}, {"slope", 0.5f}};
  attributes.set("axis", int64_t{2});
  attributes.set("pads", std::vector<int64_t>{1, 2});
  EXPECT_EQ(attributes.integer("axis"), 2);
  EXPECT_EQ(attributes.number("slope"), 0.5f);
  EXPECT_THAT(attributes.integers("pads"), ElementsAre(1, 2));
  EXPECT_FALSE(attributes.has("strides"));
  EXPECT_EQ(attributes.items().size(), 3u);
}

TEST(Attributes, CopiesShareUntilOneIsChanged) {
  const Attributes original{{"axis", int64_t{1}}};
  Attributes copy = original;
  EXPECT_EQ(&copy.items(), &original.items());
  copy.set("axis", int64_t{2});
  EXPECT_EQ(original.integer("axis"), 1);
  EXPECT_EQ(copy.integer("axis"), 2);
}

TEST(Graph, FindsValuesByName) {
  const Graph g = mlp(2, 3, {4});
  ASSERT_NE(g.find("fc0.bias"), nullptr);
  EXPECT_EQ(g.value(g.id_of("fc0.bias")).role, Role::kBias);
  EXPECT_EQ(g.find("fc9.bias"), nullptr);
}

TEST(Graph, AnUnknownNameIsAnErrorThatNamesFileAndTensor) {
  const Graph g = mlp(2, 3, {4});
  try {
    g.id_of("fc9.bias");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("mlp"), HasSubstr("\"fc9.bias\"")));
  }
}

TEST(Graph, ReadersAreListedOncePerNodeInNodeOrder) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::kF32, {2}});
  const ValueId twice = emit(g, kAdd, "twice", {x, x});
  emit(g, kMul, "mul", {twice, x});
  EXPECT_THAT(readers(g)[index(x)], ElementsAre(NodeId{0}, NodeId{1}));
  EXPECT_THAT(readers(g)[index(twice)], ElementsAre(NodeId{1}));
}

TEST(Graph, CopiesShareTheirParameters) {
  const Graph g = mlp(1, 2, {2});
  const Graph copy = g;
  const ValueId w = g.id_of("fc0.weight");
  g.value(w).data->f32()[0] = 42.0f;
  EXPECT_EQ(copy.value(w).data->f32()[0], 42.0f);
}

TEST(Op, AShapeErrorNamesNodeOperatorAndTypes) {
  Graph g;
  const ValueId x = g.add_input("x", {DType::kF32, {2, 3}});
  const ValueId w = add_weight(g, "w", {4, 5});
  try {
    emit(g, kLinear, "fc", {x, w});
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(HasSubstr("\"fc\" (Linear)"), HasSubstr("f32[2,3]"),
                                             HasSubstr("f32[4,5]")));
  }
}

}  // namespace
}  // namespace tinytl

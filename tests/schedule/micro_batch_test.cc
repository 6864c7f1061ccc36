// Which networks may run a batch in parts: every operator, and whole networks.

#include "engine/schedule/micro_batch.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>

#include "engine/onnx/import.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

using Integers = std::vector<int64_t>;
constexpr int64_t kBatch = 4;

// Builds on an input of four samples; the result is the name of the node that mixes, or "".
class Net {
 public:
  explicit Net(Shape sample) {
    sample.insert(sample.begin(), kBatch);
    x = graph.add_input("x", {DType::kF32, std::move(sample)});
  }
  ValueId constant(Shape shape, float first = 1) {
    auto tensor = std::make_shared<Tensor>(TensorType{DType::kF32, std::move(shape)});
    std::ranges::fill(tensor->f32(), 1.0f);
    tensor->f32()[0] = first;
    return graph.add_persistent("constant", Role::kConstant, std::move(tensor));
  }
  ValueId add(const OpDef& op, std::vector<ValueId> inputs, Attributes attributes = {}) {
    return emit(graph, op, std::string(op.name), std::move(inputs), std::move(attributes));
  }
  std::string mixing() const {
    const std::optional<NodeId> node = mixes_batch(graph);
    return node.has_value() ? graph.node(*node).name : "";
  }

  Graph graph;
  ValueId x;
};

struct Case {
  const char* label;
  Shape sample;
  std::function<ValueId(Net&)> build;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.label; }

Attributes reduction(Integers axes) {
  return {{"axes", std::move(axes)}, {"keepdims", int64_t{1}}};
}
Attributes product(int64_t ta, int64_t tb) { return {{"transpose_a", ta}, {"transpose_b", tb}}; }
Attributes cut(Integers starts, Integers sizes) {
  const Integers steps(starts.size(), 1);
  return {{"starts", std::move(starts)}, {"sizes", std::move(sizes)}, {"steps", steps}};
}

const Case kApart[] = {
    {"Bias",
     {6},
     [](Net& n) {
       return n.add(kAdd, {n.x, n.constant({6})});
     }},
    {"GatedBySelf",
     {2, 3},
     [](Net& n) {
       return n.add(kMul, {n.x, n.add(kTanh, {n.x})});
     }},
    {"ScaledPerSample",
     {2, 3},
     [](Net& n) {
       return n.add(kMul, {n.x, n.add(kReduceMean, {n.x}, reduction({1, 2}))});
     }},
    {"SoftmaxOfClasses",
     {6},
     [](Net& n) {
       return n.add(kSoftmax, {n.x}, {{"axis", int64_t{1}}});
     }},
    {"Folded",
     {3, 6},
     [](Net& n) {
       const ValueId rows = n.add(kReshape, {n.x}, {{"shape", Integers{12, 6}}});
       return n.add(kSoftmax, {rows}, {{"axis", int64_t{1}}});
     }},
    {"FoldedBehindAOne",
     {3, 6},
     [](Net& n) {
       const ValueId rows = n.add(kReshape, {n.x}, {{"shape", Integers{1, 4, 18}}});
       return n.add(kReduceSum, {rows}, reduction({0, 2}));
     }},
    {"Linear",
     {6},
     [](Net& n) {
       return n.add(kLinear, {n.x, n.constant({6, 2})});
     }},
    {"Attention",
     {3, 6},
     [](Net& n) {
       const ValueId scores = n.add(kMatMul, {n.x, n.x}, product(0, 1));
       const ValueId weights = n.add(kSoftmax, {scores}, {{"axis", int64_t{2}}});
       return n.add(kMatMul, {weights, n.x}, product(0, 0));
     }},
    {"OneMatrixForAll",
     {3, 6},
     [](Net& n) {
       return n.add(kMatMul, {n.x, n.constant({6, 2})}, product(0, 0));
     }},
    {"MatrixFromTheLeft",
     {3, 6},
     [](Net& n) {
       return n.add(kMatMul, {n.constant({5, 3}), n.x}, product(0, 0));
     }},
    {"HeadsTransposed",
     {3, 6},
     [](Net& n) {
       return n.add(kTranspose, {n.x}, {{"perm", Integers{0, 2, 1}}});
     }},
    {"OnesTransposed",
     {1, 6},
     [](Net& n) {
       return n.add(kTranspose, {n.x}, {{"perm", Integers{1, 0, 2}}});
     }},
    {"TokenForEach",
     {3, 6},
     [](Net& n) {
       return n.add(kConcat, {n.constant({4, 1, 6}), n.x}, {{"axis", int64_t{1}}});
     }},
    {"TokenSpread",
     {3, 6},
     [](Net& n) {
       const ValueId token =
           n.add(kBroadcastTo, {n.constant({1, 1, 6}, 5)}, {{"shape", Integers{4, 1, 6}}});
       return n.add(kConcat, {token, n.x}, {{"axis", int64_t{1}}});
     }},
    {"FirstToken",
     {3, 6},
     [](Net& n) {
       return n.add(kSlice, {n.x}, cut({0, 0, 0}, {4, 1, 6}));
     }},
    {"Gathered",
     {3, 6},
     [](Net& n) {
       return n.add(kGather, {n.x}, {{"axis", int64_t{1}}, {"indices", Integers{2, 0}}});
     }},
    {"LayerNorm",
     {3, 6},
     [](Net& n) {
       return n.add(kLayerNorm, {n.x, n.constant({6}), n.constant({6})}, {{"epsilon", 1e-5f}});
     }},
    {"GroupNorm",
     {2, 2, 6},
     [](Net& n) {
       return n.add(kGroupNorm, {n.x, n.constant({6}), n.constant({6})},
                    {{"groups", int64_t{2}}, {"epsilon", 1e-5f}});
     }},
    {"BatchNormOfInference",
     {2, 2, 6},
     [](Net& n) {
       const ValueId c = n.constant({6});
       return n.add(kBatchNormInference, {n.x, c, c, c, c}, {{"epsilon", 1e-5f}});
     }},
    {"Padded",
     {3},
     [](Net& n) {
       return n.add(kPad, {n.x},
                    {{"before", Integers{0, 1}}, {"after", Integers{0, 1}}, {"value", 0.0f}});
     }},
    {"NotOfTheInput",
     {3},
     [](Net& n) {
       const ValueId c = n.add(kReduceSum, {n.constant({4, 3})}, reduction({0}));
       return n.add(kAdd, {n.x, c});
     }},
};

const Case kMixing[] = {
    {"BatchNorm",
     {2, 2, 6},
     [](Net& n) {
       const ValueId c = n.constant({6});
       return n.add(kBatchNorm, {n.x, c, c, c, c}, {{"epsilon", 1e-5f}});
     }},
    {"SoftmaxOverBatch",
     {6},
     [](Net& n) {
       return n.add(kSoftmax, {n.x}, {{"axis", int64_t{0}}});
     }},
    {"MeanOverBatch", {6}, [](Net& n) { return n.add(kReduceMean, {n.x}, reduction({0})); }},
    {"SumOverAll",
     {6},
     [](Net& n) {
       return n.add(kReduceSum, {n.x}, reduction({0, 1}));
     }},
    {"SampleAgainstSample",
     {1},
     [](Net& n) {
       return n.add(kMul, {n.x, n.add(kReshape, {n.x}, {{"shape", Integers{1, 4}}})});
     }},
    {"OneSampleToAll",
     {1, 1},
     [](Net& n) {
       const ValueId row = n.add(kReshape, {n.x}, {{"shape", Integers{1, 4, 1}}});
       return n.add(kBroadcastTo, {row}, {{"shape", Integers{3, 4, 1}}});
     }},
    {"ConstantPerSample",
     {6},
     [](Net& n) {
       return n.add(kAdd, {n.x, n.constant({4, 1}, 5)});
     }},
    {"Similarity",
     {6},
     [](Net& n) {
       return n.add(kMatMul, {n.x, n.x}, product(0, 1));
     }},
    {"GramMatrix",
     {6},
     [](Net& n) {
       return n.add(kMatMul, {n.x, n.x}, product(1, 0));
     }},
    {"BatchTransposed",
     {3, 6},
     [](Net& n) {
       return n.add(kTranspose, {n.x}, {{"perm", Integers{1, 0, 2}}});
     }},
    {"AppendedToBatch",
     {6},
     [](Net& n) {
       return n.add(kConcat, {n.x, n.constant({1, 6})}, {{"axis", int64_t{0}}});
     }},
    {"TokenPerSample",
     {3, 6},
     [](Net& n) {
       return n.add(kConcat, {n.constant({4, 1, 6}, 5), n.x}, {{"axis", int64_t{1}}});
     }},
    {"PartOfBatch",
     {6},
     [](Net& n) {
       return n.add(kSlice, {n.x}, cut({0, 0}, {2, 6}));
     }},
    {"ShuffledBatch",
     {6},
     [](Net& n) {
       return n.add(kGather, {n.x}, {{"axis", int64_t{0}}, {"indices", Integers{1, 0, 3, 2}}});
     }},
    {"PaddedBatch",
     {3},
     [](Net& n) {
       return n.add(kPad, {n.x},
                    {{"before", Integers{1, 0}}, {"after", Integers{0, 0}}, {"value", 0.0f}});
     }},
    {"SamplesAsRowsOfOne",
     {2, 6},
     [](Net& n) {
       const ValueId wide = n.add(kReshape, {n.x}, {{"shape", Integers{2, 24}}});
       return n.add(kSoftmax, {wide}, {{"axis", int64_t{1}}});
     }},
    {"Unknown",
     {6},
     [](Net& n) {
       return n.add(kSumTo, {n.x}, {{"shape", Integers{4, 1}}});
     }},
};

class Apart : public testing::TestWithParam<Case> {};
TEST_P(Apart, IsAccepted) {
  Net net(GetParam().sample);
  net.graph.outputs = {GetParam().build(net)};
  EXPECT_EQ(net.mixing(), "");
}
const auto label_of = [](const auto& test) { return std::string(test.param.label); };
INSTANTIATE_TEST_SUITE_P(Ops, Apart, testing::ValuesIn(kApart), label_of);

class Mixing : public testing::TestWithParam<Case> {};
TEST_P(Mixing, IsRefusedAtItsNode) {
  Net net(GetParam().sample);
  const ValueId result = GetParam().build(net);
  net.graph.outputs = {net.add(kTanh, {result})};
  const NodeId producer = net.graph.value(result).producer;
  EXPECT_EQ(mixes_batch(net.graph), producer) << to_string(net.graph.value(result).type);
}
INSTANTIATE_TEST_SUITE_P(Ops, Mixing, testing::ValuesIn(kMixing), label_of);

std::string mixing_of(const std::filesystem::path& file) {
  const Graph graph = import_onnx(file, {.batch = 8});
  const std::optional<NodeId> node = mixes_batch(graph);
  return node.has_value() ? graph.node(*node).name : "";
}

TEST(Networks, GoldenOnesAreAccepted) {
  for (const char* name : {"mobilenet_small", "resnet_small", "transformer_small"}) {
    EXPECT_EQ(mixing_of(std::filesystem::path(TINYTL_GOLDEN) / (std::string(name) + ".onnx")), "");
  }
}

TEST(Networks, RealOnesAreAccepted) {
  const char* data = std::getenv("TINYTL_DATA");
  if (data == nullptr) GTEST_SKIP() << "TINYTL_DATA is not set";
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(data) / "models")) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(".onnx") || name.find("fp32") == std::string::npos ||
        name.find("frontend") != std::string::npos) {
      continue;
    }
    EXPECT_EQ(mixing_of(entry.path()), "") << name;
  }
}

}  // namespace
}  // namespace tinytl

// Finding blocks, and lite residual modules beside them.

#include "tinytl/methods/lite_residual.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "engine/onnx/import.h"
#include "engine/ops/passes.h"
#include "tests/methods/support.h"
#include "tinytl/methods/update.h"

namespace tinytl {
namespace {

using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;

namespace fs = std::filesystem;

Graph golden(const std::string& name) {
  return import_onnx(fs::path(TINYTL_GOLDEN) / name, {.batch = 2});
}

std::vector<BlockKind> kinds(const std::vector<Block>& blocks) {
  std::vector<BlockKind> result;
  for (const Block& block : blocks) result.push_back(block.kind);
  return result;
}

int64_t count(const Graph& graph, const OpDef& op) {
  return std::ranges::count_if(graph.nodes(), [&](const Node& n) { return n.op == &op; });
}

TEST(FindBlocks, InvertedResidualsWithAndWithoutSkip) {
  const Graph graph = golden("mobilenet_small.onnx");
  const std::vector<Block> blocks = find_blocks(graph);
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_THAT(kinds(blocks), Each(BlockKind::kInvertedResidual));
  EXPECT_EQ(graph.value(blocks[0].input).type.shape.back(), 8);
  EXPECT_EQ(graph.value(blocks[0].output).type.shape.back(), 8);
  EXPECT_EQ(graph.value(blocks[1].output).type.shape.back(), 12);
  EXPECT_EQ(graph.value(blocks[1].output).type.dim(1) * 2,
            graph.value(blocks[1].input).type.dim(1));
}

TEST(FindBlocks, ResidualsWithIdentityAndWithProjection) {
  const Graph graph = golden("resnet_small.onnx");
  const std::vector<Block> blocks = find_blocks(graph);
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_THAT(kinds(blocks), Each(BlockKind::kResidual));
  EXPECT_EQ(graph.value(blocks[1].input).type.shape.back(), 8);
  EXPECT_EQ(graph.value(blocks[1].output).type.shape.back(), 12);
}

TEST(FindBlocks, NoneInATransformer) {
  EXPECT_TRUE(find_blocks(golden("transformer_small.onnx")).empty());
}

struct RealNetwork {
  const char* file;
  size_t blocks;
  BlockKind kind;
};

class FindBlocksOfRealNetworks : public testing::TestWithParam<RealNetwork> {};

TEST_P(FindBlocksOfRealNetworks, AsManyAsTheirArchitectureHas) {
  const char* data = std::getenv("TINYTL_DATA");
  if (data == nullptr) GTEST_SKIP() << "TINYTL_DATA is not set: no real networks";
  const Graph graph = import_onnx(fs::path(data) / "models" / GetParam().file, {.batch = 1});
  const std::vector<Block> blocks = find_blocks(graph);
  EXPECT_EQ(blocks.size(), GetParam().blocks);
  EXPECT_THAT(kinds(blocks), Each(GetParam().kind));
}

// MobileNetV2 has 17 blocks, the first without expansion; MobileNetV1 13, DS-CNN 4, ResNet-8 3.
INSTANTIATE_TEST_SUITE_P(
    All, FindBlocksOfRealNetworks,
    testing::Values(
        RealNetwork{"mbv2-w0.35_imagenet128_fp32.onnx", 16, BlockKind::kInvertedResidual},
        RealNetwork{"mobilenet_v2_1.0_imagenet224_fp32.onnx", 16, BlockKind::kInvertedResidual},
        RealNetwork{"mobilenet_v2_0.35_keras224_features_fp32_bn.onnx", 16,
                    BlockKind::kInvertedResidual},
        RealNetwork{"mlperf_vww96_mobilenetv1_0.25_fp32.onnx", 13, BlockKind::kSeparable},
        RealNetwork{"mlperf_kws_dscnn_fp32.onnx", 4, BlockKind::kSeparable},
        RealNetwork{"mlperf_ic_resnet8_cifar10_fp32.onnx", 3, BlockKind::kResidual}),
    [](const auto& test) {
      std::string name = test.param.file;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
      return name;
    });

class LiteResiduals : public testing::TestWithParam<const char*> {};

TEST_P(LiteResiduals, LeaveTheOutputsAsTheyWere) {
  const Graph graph = golden(GetParam());
  const LiteNetwork lite = insert_lite_residuals(graph, {});
  verify(lite.graph);
  EXPECT_EQ(run(lite.graph), run(graph));
}

TEST_P(LiteResiduals, ChangeTheOutputsOnceTheirScaleDoes) {
  const Graph graph = golden(GetParam());
  LiteNetwork lite = insert_lite_residuals(graph, {});
  for (const LiteModule& module : lite.modules) {
    std::ranges::fill(lite.graph.value(module.parameters.back()).data->f32(), 1.0f);
  }
  EXPECT_NE(run(lite.graph), run(graph));
}

TEST_P(LiteResiduals, TrainsWhatTheMethodSays) {
  const Graph graph = golden(GetParam());
  FittedClassifier fitted = keep_classifier(graph, "");
  const FittedClassifier both = in_form_for(Update::kLiteBias, fitted, {});
  const auto groups = [&](Update update, const FittedClassifier& form) {
    std::map<Group, int64_t> scalars;
    for (const TrainedParameter& p : make_scheme(form, update).parameters) {
      scalars[p.group] += form.graph.value(p.parameter).type.elements();
    }
    return scalars;
  };
  auto with_bias = groups(Update::kLiteBias, both);
  auto bias = groups(Update::kBias, fitted);
  auto alone = groups(Update::kLite, in_form_for(Update::kLite, fitted, {}));
  EXPECT_EQ(with_bias[Group::kBackbone], bias[Group::kBackbone]);
  EXPECT_EQ(with_bias[Group::kHead], bias[Group::kHead]);
  EXPECT_EQ(alone[Group::kBackbone], 0);
  int64_t last_biases = 0;
  for (const Block& block : find_blocks(graph)) {
    last_biases += graph.value(block.output).type.shape.back();
  }
  EXPECT_EQ(alone[Group::kLite], with_bias[Group::kLite] + last_biases);
}

INSTANTIATE_TEST_SUITE_P(All, LiteResiduals,
                         testing::Values("mobilenet_small.onnx", "resnet_small.onnx"),
                         [](const auto& test) { return std::string(test.param).substr(0, 6); });

TEST(LiteOptions, MakeTheModule) {
  const Graph graph = golden("mobilenet_small.onnx");
  const LiteNetwork lite = insert_lite_residuals(graph, {.groups = 4, .expand = 2});
  ASSERT_EQ(lite.modules.size(), 2u);
  const LiteModule& first = lite.modules[0];  // 8 channels at 8x8: 4x4 after the pool, kernel 3
  EXPECT_EQ(first.kernel, 3);
  EXPECT_EQ(first.channels, 16);
  EXPECT_EQ(lite.graph.value(first.parameters[0]).type.shape, (Shape{3, 3, 2, 16}));
  EXPECT_EQ(lite.modules[1].stride, 2);
  EXPECT_EQ(count(lite.graph, kGroupNorm), 4);
}

TEST(LiteOptions, KernelsOfANominalResolutionDoNotDependOnTheRealOne) {
  const auto kernels = [](int64_t resolution, int64_t nominal) {
    const Graph graph =
        import_onnx(fs::path(TINYTL_GOLDEN) / "mobilenet_small.onnx", {.resolution = resolution});
    std::vector<int64_t> result;
    for (const LiteModule& module :
         insert_lite_residuals(graph, {.nominal_resolution = nominal}).modules) {
      result.push_back(module.kernel);
    }
    return result;
  };
  EXPECT_EQ(kernels(32, 16), kernels(16, 0));
  EXPECT_NE(kernels(32, 0), kernels(16, 0));
}

TEST(LiteOptions, NetworkWithoutBlocksIsRefused) {
  try {
    insert_lite_residuals(golden("transformer_small.onnx"), {});
    FAIL() << "not refused";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("has no inverted residual"));
  }
}

TEST(NormUpdate, ScalesOfOneChangeNothingAndTrain) {
  const Graph graph = golden("mobilenet_small.onnx");
  const FittedClassifier fitted = keep_classifier(graph, "");
  const FittedClassifier form = in_form_for(Update::kNorm, fitted, {});
  verify(form.graph);
  const auto before = run(graph), after = run(form.graph);
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_NEAR(after[i], before[i], 1e-6f + 1e-5f * std::abs(before[i]));
  }
  int64_t scales = 0, biases = 0;
  for (const TrainedParameter& p : make_scheme(form, Update::kNorm).parameters) {
    if (p.group == Group::kHead) continue;
    const Value& value = form.graph.value(p.parameter);
    (value.role == Role::kWeight ? scales : biases) += value.type.elements();
  }
  EXPECT_EQ(scales, biases);
  EXPECT_GT(scales, 0);
}

}  // namespace
}  // namespace tinytl

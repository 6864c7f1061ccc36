// Narrower blocks: what goes, what stays, and that nothing else changes.

#include "tinytl/methods/prune_width.h"

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>

#include "engine/onnx/import.h"
#include "engine/ops/passes.h"
#include "tests/methods/support.h"
#include "tinytl/methods/find_blocks.h"
#include "tinytl/networks/reference_network.h"

namespace tinytl {
namespace {

using testing::FloatNear;
using testing::HasSubstr;
using testing::Pointwise;

Graph golden(const std::string& name) {
  return import_onnx(std::filesystem::path(TINYTL_GOLDEN) / name, {.batch = 2});
}

Graph reference(NetworkNorm norm) {
  NetworkOptions options;
  options.resolution = 32;
  options.classes = 4;
  options.batch = 2;
  options.norm = norm;
  return reference_network("mobilenet-v2-0.35", options);
}

// Column `c` of a weight whose last axis are the channels.
std::vector<float> column(const Tensor& w, int64_t c) {
  std::vector<float> result;
  const auto channels = static_cast<size_t>(w.type().shape.back());
  for (size_t i = static_cast<size_t>(c); i < w.f32().size(); i += channels) {
    result.push_back(w.f32()[i]);
  }
  return result;
}

// The channels of `whole` that are in `part`, by their columns; both in order.
std::vector<bool> kept_channels(const Tensor& whole, const Tensor& part) {
  std::vector<bool> kept;
  int64_t next = 0;
  for (int64_t c = 0; c < whole.type().shape.back(); ++c) {
    const bool is_kept = next < part.type().shape.back() && column(whole, c) == column(part, next);
    kept.push_back(is_kept);
    next += is_kept ? 1 : 0;
  }
  EXPECT_EQ(next, part.type().shape.back()) << "the kept channels are out of order, or changed";
  return kept;
}

// The network with 0 in the rows of the projections that `narrow` does without.
Graph with_rows_of_zero(Graph graph, const Graph& narrow) {
  graph = with_own_tensors(std::move(graph));
  std::vector<bool> kept;  // of the block that the walk is in
  for (const Node& node : graph.nodes()) {
    if (node.op != &kConv2d) continue;
    Value& weight = graph.value(node.input(1));
    const Value& now = *narrow.find(weight.name);
    if (now.type == weight.type) continue;
    if (now.type.shape[3] != weight.type.shape[3]) {
      kept = kept_channels(*weight.data, *now.data);
      continue;
    }
    EXPECT_EQ(kept.size(), static_cast<size_t>(weight.type.shape[2]));
    const auto outputs = static_cast<size_t>(weight.type.shape[3]);
    for (size_t c = 0; c < kept.size(); ++c) {
      const auto row = weight.data->f32().subspan(c * outputs, outputs);
      if (!kept[c]) std::ranges::fill(row, 0.0f);
    }
  }
  return graph;
}

TEST(PruneWidth, AtOneTheNetworkIsTheSame) {
  const Graph graph = golden("mobilenet_small.onnx");
  std::vector<ValueId> ids;
  const Graph same = prune_width(graph, 1, &ids);
  EXPECT_EQ(to_string(same), to_string(graph));
  EXPECT_EQ(run(same), run(graph));
  ASSERT_EQ(ids.size(), graph.values().size());
  EXPECT_EQ(same.value(ids.back()).name, graph.values().back().name);
}

class PruneWidthOf : public testing::TestWithParam<const char*> {
 protected:
  Graph network() const {
    const std::string name = GetParam();
    if (name == "golden") return golden("mobilenet_small.onnx");
    return reference(name == "folded" ? NetworkNorm::kFolded : NetworkNorm::kGroup);
  }
};

TEST_P(PruneWidthOf, ComputesWhatTheOthersDidWithoutTheRemoved) {
  const Graph graph = network();
  std::vector<ValueId> ids;
  const Graph narrow = prune_width(graph, 0.5, &ids);
  verify(narrow);
  EXPECT_EQ(find_blocks(narrow).size(), find_blocks(graph).size());
  size_t smaller = 0;
  for (size_t v = 0; v < graph.values().size(); ++v) {
    const Value& old = graph.values()[v];
    const Value& now = narrow.value(ids[v]);
    EXPECT_EQ(now.name, old.name);
    EXPECT_EQ(now.role, old.role);
    if (now.type == old.type) continue;
    ++smaller;
    EXPECT_LT(now.type.elements(), old.type.elements());
  }
  EXPECT_GT(smaller, 0u);
  const std::vector<float> wanted = run(with_rows_of_zero(graph, narrow));
  float largest = 0;
  for (const float y : wanted) largest = std::max(largest, std::abs(y));
  EXPECT_GT(largest, 0);
  EXPECT_THAT(run(narrow), Pointwise(FloatNear(2e-5f * largest), wanted));
}

TEST_P(PruneWidthOf, ChannelsAreRoundedToAMultipleOfEight) {
  const Graph graph = network();
  for (const double width : {0.01, 0.3, 0.75, 0.99}) {
    const Graph narrow = prune_width(graph, width);
    for (const Node& node : narrow.nodes()) {
      if (node.op != &kDepthwiseConv2d) continue;
      const Value& weight = narrow.value(node.input(1));
      const int64_t before = graph.find(weight.name)->type.shape.back();
      const int64_t now = weight.type.shape.back();
      if (now == before) continue;
      EXPECT_EQ(now % 8, 0);
      EXPECT_GE(now, 8);
      EXPECT_NEAR(double(now), std::max(8.0, width * double(before)), 4);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PruneWidthOf, testing::Values("golden", "folded", "group"),
                         [](const auto& test) { return std::string(test.param); });

struct BlockWeights {
  Value *expand, *depthwise, *depthwise_bias;
};

// Of the first block that expands.
BlockWeights first_block(Graph& graph) {
  BlockWeights found{};
  for (const Node& node : graph.nodes()) {
    if (node.op == &kConv2d && graph.value(node.input(1)).type.dim(0) == 1) {
      found.expand = &graph.value(node.input(1));
    }
    if (node.op == &kDepthwiseConv2d && found.expand != nullptr) {
      found.depthwise = &graph.value(node.input(1));
      found.depthwise_bias = &graph.value(node.input(2));
      break;
    }
  }
  return found;
}

// Half of the channels of the first block give their bias and no more, however large their weights
// in front are: they go, and the outputs stay.
TEST(PruneWidth, DeadChannelsGoFirstAndLeaveTheirConstant) {
  Graph graph = with_own_tensors(golden("mobilenet_small.onnx"));
  const BlockWeights block = first_block(graph);
  const int64_t channels = block.depthwise->type.shape.back();
  ASSERT_EQ(channels % 16, 0);
  const auto count = static_cast<size_t>(channels);
  for (size_t i = 0; i < block.depthwise->data->f32().size(); ++i) {
    if (i % count % 2 == 0) block.depthwise->data->f32()[i] = 0;
  }
  for (size_t c = 0; c < count; c += 2) block.depthwise_bias->data->f32()[c] = 0.5f;
  const Graph narrow = prune_width(graph, 0.5);
  EXPECT_EQ(narrow.find(block.depthwise->name)->type.shape.back(), channels / 2);
  const std::vector<bool> kept =
      kept_channels(*block.expand->data, *narrow.find(block.expand->name)->data);
  for (size_t c = 0; c < count; ++c) EXPECT_EQ(kept[c], c % 2 == 1) << c;

  // The first block alone: what is behind it loses channels that are not dead.
  Graph first = graph, first_narrow = narrow;
  const ValueId old_end = find_blocks(graph)[0].output, end = find_blocks(narrow)[0].output;
  first.outputs = {old_end};
  first_narrow.outputs = {end};
  EXPECT_THAT(run(prune(first_narrow)), Pointwise(FloatNear(1e-5f), run(prune(first))));
}

std::string error_of(const Graph& graph, double width) {
  try {
    prune_width(graph, width);
  } catch (const InputError& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(PruneWidth, RefusesWhatItCannotPrune) {
  const Graph graph = golden("mobilenet_small.onnx");
  for (const double width : {0.0, -0.5, 1.01, double(NAN)}) {
    EXPECT_THAT(error_of(graph, width), HasSubstr("above 0 and at most 1"));
  }
  for (const char* name : {"resnet_small.onnx", "transformer_small.onnx"}) {
    EXPECT_THAT(error_of(golden(name), 0.5), HasSubstr("no inverted residual block"));
    EXPECT_EQ(error_of(golden(name), 1), "(no error)");
  }
}

}  // namespace
}  // namespace tinytl

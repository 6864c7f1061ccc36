// Weights that train behind their standardisation.

#include "tinytl/methods/standardize.h"

#include <gmock/gmock.h>

#include <cmath>
#include <filesystem>

#include "autodiff/differentiate.h"
#include "engine/ops/passes.h"
#include "tests/methods/support.h"
#include "tinytl/methods/update.h"
#include "tinytl/networks/reference_network.h"

namespace tinytl {
namespace {

FittedClassifier network() {
  const NetworkOptions options{.resolution = 32, .classes = 3, .norm = NetworkNorm::kGroup};
  return keep_classifier(reference_network("mobilenet-v2-0.35", options), "");
}

std::vector<const Node*> nodes_of(const Graph& graph, const OpDef& op) {
  std::vector<const Node*> result;
  for (const Node& node : graph.nodes()) {
    if (node.op == &op) result.push_back(&node);
  }
  return result;
}

TEST(StandardizeTrained, EveryConvolutionOfAFullUpdateUnderGroupNorms) {
  const FittedClassifier fitted = network();
  const FittedClassifier form = in_form_for(Update::kFull, fitted, {}, Norms::kGroup);
  verify(form.graph);
  const size_t convolutions =
      nodes_of(fitted.graph, kConv2d).size() + nodes_of(fitted.graph, kDepthwiseConv2d).size();
  EXPECT_EQ(nodes_of(form.graph, kStandardizeWeight).size(), convolutions);
  const GradientGraph gradients = differentiate(form.graph, {}, make_scheme(form, Update::kFull));
  EXPECT_EQ(nodes_of(gradients.graph, kStandardizeWeightGrad).size(), convolutions);
}

TEST(StandardizeTrained, OnlyTheLiteModulesWhereTheOthersAreFrozen) {
  const FittedClassifier form = in_form_for(Update::kLiteBias, network(), {}, Norms::kGroup);
  const auto standardized = nodes_of(form.graph, kStandardizeWeight);
  ASSERT_FALSE(standardized.empty());
  for (const Node* node : standardized) {
    EXPECT_NE(std::ranges::find(form.lite, node->input(0)), form.lite.end()) << node->name;
  }
}

TEST(StandardizeTrained, NothingWithoutGroupNormsOrWhereNoWeightTrains) {
  const auto count = [](Update update, Norms norms) {
    return nodes_of(in_form_for(update, network(), {}, norms).graph, kStandardizeWeight).size();
  };
  EXPECT_EQ(count(Update::kFull, Norms::kFolded), 0u);
  EXPECT_EQ(count(Update::kLite, Norms::kFolded), 0u);
  EXPECT_EQ(count(Update::kBias, Norms::kGroup), 0u);
}

TEST(StandardizeTrained, WhatIsStandardisedKeepsItsValues) {
  FittedClassifier once = in_form_for(Update::kFull, network(), {}, Norms::kGroup);
  const std::vector<float> before = run(once.graph);
  const FittedClassifier twice = in_form_for(Update::kFull, once, {}, Norms::kGroup);
  EXPECT_EQ(run(twice.graph), before) << "a standardised layer is left alone";
  // The weights as they are now used, in the place of those that were random.
  FittedClassifier fresh = network();
  for (const Node* node : nodes_of(once.graph, kStandardizeWeight)) {
    const Value& weight = once.graph.value(node->input(0));
    const Operand in{&weight.type, weight.data->bytes().data()};
    Tensor result(weight.type);
    const Operand out{&weight.type, result.bytes().data()};
    node->op->forward(*node, KernelArgs(&tt_portable_kernels, {&in, 1}, {&out, 1}, nullptr));
    Value& target = fresh.graph.value(fresh.graph.id_of(weight.name));
    target.data = make_tensor(weight.type.shape, result.f32());
  }
  const FittedClassifier form = in_form_for(Update::kFull, fresh, {}, Norms::kGroup);
  const std::vector<float> after = run(form.graph);
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_NEAR(after[i], before[i], 1e-2f * std::abs(before[i]) + 1e-3f);
  }
}

}  // namespace
}  // namespace tinytl

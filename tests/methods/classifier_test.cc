// Finding, keeping, replacing and adding the classifier.

#include "tinytl/methods/classifier.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "engine/ops/passes.h"
#include "engine/runtime/executor.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> names(const FittedClassifier& c) {
  std::vector<std::string> result;
  for (const ValueId id : c.parameters) result.push_back(c.graph.value(id).name);
  return result;
}

Shape output_shape(const Graph& graph) { return graph.value(graph.outputs.at(0)).type.shape; }

// A network that ends in a 1x1 convolution, pooled to [2,5] by a mean: its classifier.
Graph fully_convolutional() {
  Graph g;
  g.source = "fcn";
  ValueId y = g.add_input("x", {DType::kF32, {2, 4, 4, 3}});
  y = relu6(g, "relu", convolution(g, "conv", y, 6, /*kernel=*/3));
  y = convolution(g, "head", y, 5, /*kernel=*/1);
  g.outputs = {emit(g, kReduceMean, "pool", {y},
                    {{"axes", std::vector<int64_t>{1, 2}}, {"keepdims", int64_t{0}}})};
  return g;
}

// A network without a classifier: f32[2,4,4,6].
Graph features_only() {
  Graph g;
  g.source = "features";
  const ValueId x = g.add_input("x", {DType::kF32, {2, 4, 4, 3}});
  g.outputs = {relu6(g, "relu", convolution(g, "conv", x, 6, /*kernel=*/3))};
  return g;
}

std::vector<float> run(const Graph& graph, std::optional<int32_t> seed = {}) {
  Executor executor(graph);
  const auto values = random_tensor(graph.value(graph.inputs[0]).type.shape, 4);
  std::copy(values->f32().begin(), values->f32().end(), executor.f32(graph.inputs[0]).begin());
  if (seed.has_value()) {
    executor.i32(graph.inputs.back())[0] = *seed;
    executor.i32(graph.inputs.back())[1] = 1;
  }
  executor.step();
  const auto y = executor.f32(graph.outputs[0]);
  return {y.begin(), y.end()};
}

TEST(FitClassifier, KeepsOneThatHasTheClasses) {
  const Graph model = small_cnn(2);
  const FittedClassifier c = fit_classifier(model, 5, {});
  EXPECT_FALSE(c.is_new);
  EXPECT_THAT(names(c), ElementsAre("fc.weight", "fc.bias"));
  EXPECT_EQ(to_string(c.graph), to_string(prune(model)));
  EXPECT_THAT(c.description, AllOf(HasSubstr("fc"), HasSubstr("kept")));
}

TEST(FitClassifier, ReplacesOneThatHasOtherClasses) {
  const FittedClassifier c = fit_classifier(small_cnn(2), 7, {});
  verify(c.graph);
  EXPECT_TRUE(c.is_new);
  EXPECT_THAT(names(c), ElementsAre("classifier.weight", "classifier.bias"));
  EXPECT_EQ(output_shape(c.graph), (Shape{2, 7}));
  EXPECT_EQ(c.graph.find("fc.weight"), nullptr);
  EXPECT_NE(c.graph.find("stem.weight"), nullptr);
}

TEST(FitClassifier, ReplacesOneThatFitsWhereAsked) {
  const FittedClassifier c = fit_classifier(small_cnn(2), 5, {.head = "", .replace = true});
  EXPECT_TRUE(c.is_new);
  EXPECT_EQ(output_shape(c.graph), (Shape{2, 5}));
}

TEST(FitClassifier, NewWeightsAreUniformAndNewBiasesZero) {
  const FittedClassifier c = fit_classifier(mlp(2, 100, {3}), 50, {.head = "", .seed = 1});
  const auto weight = c.graph.value(c.parameters[0]).data->f32();
  constexpr float kBound = 0.1f;  // 1 / sqrt(100)
  EXPECT_THAT(weight, testing::Each(AllOf(testing::Ge(-kBound), testing::Le(kBound))));
  EXPECT_GT(*std::max_element(weight.begin(), weight.end()), 0.99f * kBound);
  EXPECT_LT(*std::min_element(weight.begin(), weight.end()), -0.99f * kBound);
  EXPECT_THAT(c.graph.value(c.parameters[1]).data->f32(), testing::Each(0.0f));
}

TEST(FitClassifier, TheSeedDecidesTheWeights) {
  const auto weight = [](uint64_t seed) {
    const FittedClassifier c = fit_classifier(small_cnn(1), 7, {.head = "", .seed = seed});
    const auto w = c.graph.value(c.parameters[0]).data->f32();
    return std::vector<float>(w.begin(), w.end());
  };
  EXPECT_EQ(weight(3), weight(3));
  EXPECT_NE(weight(3), weight(4));
}

TEST(FitClassifier, LooksThroughSoftmaxAndReshape) {
  Graph model = small_cnn(2);
  ValueId y = emit(model, kReshape, "reshape", {model.outputs[0]}, {{"shape", Shape{2, 5}}});
  model.outputs = {emit(model, kSoftmax, "softmax", {y}, {{"axis", int64_t{1}}})};
  EXPECT_FALSE(fit_classifier(model, 5, {}).is_new);
  const FittedClassifier c = fit_classifier(model, 7, {});
  EXPECT_THAT(c.description, HasSubstr("fc (5 classes)"));
  EXPECT_EQ(output_shape(c.graph), (Shape{2, 7}));
}

TEST(FitClassifier, FindsAPointwiseConvolution) {
  EXPECT_THAT(names(fit_classifier(fully_convolutional(), 5, {})),
              ElementsAre("head.weight", "head.bias"));
  const FittedClassifier c = fit_classifier(fully_convolutional(), 9, {});
  verify(c.graph);
  EXPECT_EQ(output_shape(c.graph), (Shape{2, 9}));
  EXPECT_EQ(c.graph.find("head.weight"), nullptr);
  EXPECT_EQ(c.graph.value(c.parameters[0]).type.shape, (Shape{6, 9}));
}

TEST(FitClassifier, AddsOneToANetworkThatEndsInFeatures) {
  const FittedClassifier c = fit_classifier(features_only(), 5, {});
  verify(c.graph);
  EXPECT_TRUE(c.is_new);
  EXPECT_EQ(output_shape(c.graph), (Shape{2, 5}));
  EXPECT_EQ(c.graph.value(c.parameters[0]).type.shape, (Shape{6, 5}));
  EXPECT_THAT(c.description, HasSubstr("added"));
}

TEST(FitClassifier, AReluAfterTheLastLayerMakesFeaturesOfIt) {
  Graph model = small_cnn(2);
  model.outputs = {relu6(model, "relu", model.outputs[0])};
  const FittedClassifier c = fit_classifier(model, 5, {});
  EXPECT_TRUE(c.is_new);
  EXPECT_NE(c.graph.find("fc.weight"), nullptr);
}

TEST(FitClassifier, TakesTheNamedNode) {
  const FittedClassifier c = fit_classifier(mlp(2, 3, {4, 5, 6}), 9, {.head = "fc1"});
  verify(c.graph);
  EXPECT_EQ(c.graph.find("fc2.weight"), nullptr);
  EXPECT_NE(c.graph.find("fc0.weight"), nullptr);
  EXPECT_EQ(c.graph.value(c.parameters[0]).type.shape, (Shape{4, 9}));
}

TEST(FitClassifier, RefusesANameThatIsNoClassifierAndNamesOneThatIs) {
  try {
    fit_classifier(mlp(2, 3, {4, 5}), 9, {.head = "relu0"});
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("\"relu0\""), HasSubstr("\"fc1\"")));
  }
}

TEST(KeepClassifier, ChangesNothing) {
  const Graph model = small_cnn(2);
  const FittedClassifier c = keep_classifier(model, "");
  EXPECT_EQ(to_string(c.graph), to_string(prune(model)));
  EXPECT_THAT(names(c), ElementsAre("fc.weight", "fc.bias"));
  EXPECT_TRUE(keep_classifier(features_only(), "").parameters.empty());
}

TEST(WithDropout, StandsBeforeTheClassifierAndSharesParameters) {
  const FittedClassifier plain = fit_classifier(small_cnn(2), 5, {});
  const FittedClassifier dropped = with_dropout(plain, 0.5f);
  verify(dropped.graph);
  EXPECT_EQ(dropped.graph.value(dropped.graph.inputs.back()).name, "dropout_seed");
  for (size_t i = 0; i < plain.parameters.size(); ++i) {
    EXPECT_EQ(dropped.graph.value(dropped.parameters[i]).data,
              plain.graph.value(plain.parameters[i]).data);
  }
  const Node& last = dropped.graph.nodes().back();
  const NodeId before = dropped.graph.value(last.inputs[0]).producer;
  EXPECT_EQ(dropped.graph.node(before).op, &kDropout);
}

TEST(WithDropout, KeepsTheOrderOfTheInputs) {
  Graph model = small_cnn(2);
  model.add_input("second", {DType::kF32, {1}});
  std::swap(model.inputs[0], model.inputs[1]);
  const FittedClassifier dropped = with_dropout(keep_classifier(model, ""), 0.5f);
  ASSERT_EQ(dropped.graph.inputs.size(), 3u);
  EXPECT_EQ(dropped.graph.value(dropped.graph.inputs[0]).name, "second");
  EXPECT_EQ(dropped.graph.value(dropped.graph.inputs[1]).name, "x");
}

TEST(WithDropout, DropsOtherFeaturesForAnotherSeed) {
  const FittedClassifier plain = fit_classifier(small_cnn(2), 5, {});
  const Graph graph = with_dropout(plain, 0.5f).graph;
  EXPECT_EQ(run(graph, 1), run(graph, 1));
  EXPECT_NE(run(graph, 1), run(graph, 2));
  EXPECT_NE(run(graph, 1), run(plain.graph));
}

TEST(WithDropout, ATinyRateChangesNothing) {
  const FittedClassifier plain = fit_classifier(small_cnn(2), 5, {});
  const std::vector<float> want = run(plain.graph), got = run(with_dropout(plain, 1e-7f).graph, 1);
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-5f);
}

}  // namespace
}  // namespace tinytl

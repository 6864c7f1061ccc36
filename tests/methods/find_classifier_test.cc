// Which layer is the classifier, behind every tail that networks end in.

#include "tinytl/methods/find_classifier.h"

#include <gmock/gmock.h>

#include "engine/ops/passes.h"
#include "tests/graph/support.h"
#include "tinytl/methods/classifier.h"

namespace tinytl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

ValueId map(Graph& graph, const OpDef& op, ValueId x) {
  return emit(graph, op, std::string(op.name), {x});
}

ValueId pool(Graph& graph, ValueId x) {
  return emit(graph, kReduceMean, "pool", {x},
              {{"axes", std::vector<int64_t>{1, 2}}, {"keepdims", int64_t{0}}});
}

ValueId softmax(Graph& graph, ValueId x) {
  return emit(graph, kSoftmax, "softmax", {x}, {{"axis", int64_t{1}}});
}

// f32[2,4,4,5] after conv (3x3), relu and "head" (1x1).
Graph pixels() {
  Graph g;
  g.source = "pixels";
  const ValueId x = g.add_input("x", {DType::kF32, {2, 4, 4, 3}});
  const ValueId y = relu6(g, "relu", convolution(g, "conv", x, 6, /*kernel=*/3));
  g.outputs = {convolution(g, "head", y, 5, /*kernel=*/1)};
  return g;
}

// As the importer leaves a network whose file speaks of [N,C,H,W].
void channels_second(Graph& g) {
  g.outputs = {emit(g, kTranspose, "transpose", {g.outputs[0]},
                    {{"perm", std::vector<int64_t>{0, 3, 1, 2}}})};
}

std::string found(const Graph& graph) {
  const auto node = find_end(graph).classifier;
  return node.has_value() ? graph.node(*node).name : "";
}

std::string error_of(const Graph& graph, int64_t classes, const ClassifierOptions& options = {}) {
  try {
    fit_classifier(graph, classes, options);
  } catch (const InputError& error) {
    return error.what();
  }
  return "(no error)";
}

TEST(FindEnd, LooksThroughTheTransposeToTheOrderOfTheFile) {
  Graph g = pixels();
  channels_second(g);
  EXPECT_EQ(found(g), "head");
}

TEST(FindEnd, LooksThroughASigmoidAndConstantFactors) {
  Graph g = mlp(2, 3, {4, 5});
  const ValueId scores = g.outputs[0];
  g.outputs = {map(g, kSigmoid, scores)};
  EXPECT_EQ(found(g), "fc1");
  const ValueId factor = g.add_persistent("temperature", Role::kConstant, random_tensor({1}, 3));
  g.outputs = {emit(g, kMul, "mul", {factor, scores})};
  EXPECT_EQ(found(g), "fc1");
  g.outputs = {emit(g, kScale, "scale", {scores}, {{"factor", 0.5f}})};
  EXPECT_EQ(found(g), "fc1");
}

TEST(FindEnd, LooksThroughAnActivationOnlyBeforeASoftmax) {
  Graph g = pixels();
  g.outputs = {pool(g, relu6(g, "relu.head", g.outputs[0]))};
  EXPECT_EQ(found(g), "") << "features, as MobileNet's";
  g.outputs = {softmax(g, g.outputs[0])};
  EXPECT_EQ(found(g), "head") << "SqueezeNet";
}

TEST(FindEnd, FeaturesOfEveryPositionAreNoScores) {
  Graph g = pixels();
  g.outputs = {emit(g, kReshape, "flatten", {g.outputs[0]}, {{"shape", Shape{2, 80}}})};
  EXPECT_EQ(found(g), "");
}

TEST(FitClassifier, PutsOneOnTheChannelsOfAnImage) {
  Graph g = pixels();
  g.outputs = {relu6(g, "relu.head", g.outputs[0])};
  channels_second(g);
  const FittedClassifier c = fit_classifier(g, 7, {});
  verify(c.graph);
  EXPECT_THAT(c.description, HasSubstr("new, 5 -> 7, added"));
}

TEST(FitClassifier, TakesPooledFeaturesInTheOrderOfTheFile) {
  Graph g = pixels();
  const ValueId pooled = pool(g, relu6(g, "relu.head", g.outputs[0]));
  g.outputs = {emit(g, kReshape, "nchw", {pooled}, {{"shape", Shape{2, 5, 1, 1}}})};
  EXPECT_THAT(fit_classifier(g, 7, {}).description, HasSubstr("new, 5 -> 7, added"));
}

TEST(FitClassifier, AKeptOneIsReadBeforeTheSigmoid) {
  Graph g = mlp(2, 3, {4, 5});
  const std::string plain = to_string(prune(g));
  g.outputs = {map(g, kSigmoid, g.outputs[0])};
  const FittedClassifier c = fit_classifier(g, 5, {});
  EXPECT_FALSE(c.is_new);
  EXPECT_EQ(to_string(prune(c.graph)), plain);
}

TEST(FitClassifier, AddsNoneToProbabilities) {
  Graph g = mlp(2, 3, {4, 5});
  const ValueId product = emit(g, kMul, "gate", {g.outputs[0], map(g, kTanh, g.outputs[0])});
  for (const ValueId end : {softmax(g, product), map(g, kSigmoid, product)}) {
    g.outputs = {end};
    EXPECT_THAT(error_of(g, 5), AllOf(HasSubstr("--head \"fc1\""), HasSubstr("\"fc0\"")));
    EXPECT_EQ(error_of(g, 5, {.head = "fc1"}), "(no error)");
    EXPECT_TRUE(keep_classifier(g, "").parameters.empty()) << "an autoencoder may end so";
  }
}

TEST(FitClassifier, ANamedLayerInTheMiddleIsReplacedWhateverItsWidth) {
  const FittedClassifier c = fit_classifier(mlp(2, 3, {4, 5, 9}), 5, {.head = "fc1"});
  verify(c.graph);
  EXPECT_TRUE(c.is_new);
  EXPECT_EQ(c.graph.find("fc1.weight"), nullptr);
  EXPECT_EQ(c.graph.find("fc2.weight"), nullptr);
  EXPECT_EQ(c.graph.value(c.graph.outputs[0]).type.shape, (Shape{2, 5}));
}

TEST(FitClassifier, ANamedLayerIsKeptBehindAnActivation) {
  Graph g = pixels();
  g.outputs = {pool(g, relu6(g, "relu.head", g.outputs[0]))};
  EXPECT_FALSE(fit_classifier(g, 5, {.head = "head"}).is_new);
}

TEST(FitClassifier, AKeptOneLeavesOtherOutputsOut) {
  Graph g = mlp(2, 3, {4, 5});
  const ValueId features = g.node(g.value(g.outputs[0]).producer).inputs[0];
  g.outputs.push_back(linear(g, "auxiliary", features, 5));
  for (const FittedClassifier& c : {fit_classifier(g, 5, {}), keep_classifier(g, "")}) {
    verify(c.graph);
    EXPECT_EQ(c.graph.outputs.size(), 1u);
    EXPECT_EQ(c.graph.find("auxiliary.weight"), nullptr);
    EXPECT_EQ(c.graph.value(c.parameters.at(0)).name, "fc1.weight");
  }
  EXPECT_THROW(keep_classifier(g, "auxiliary"), InputError);
}

}  // namespace
}  // namespace tinytl

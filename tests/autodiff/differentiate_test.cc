// The algorithm of reverse mode: gradients that meet, frozen parts, errors. The rules of single
// operators are tested in tests/ops, whole networks in tests/golden.

#include "autodiff/differentiate.h"

#include <gmock/gmock.h>

#include <cmath>

#include "engine/ops/passes.h"
#include "engine/runtime/executor.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const Loss kSquared{.kind = Loss::Kind::kMeanSquaredError};

UpdateScheme scheme_of(const Graph& graph, const std::vector<std::string>& names) {
  UpdateScheme scheme;
  for (const std::string& name : names) scheme.parameters.push_back({graph.id_of(name)});
  return scheme;
}

// Runs the step with x = values and target 0; returns the gradient of the only parameter.
std::vector<float> gradient_at(GradientGraph g, const std::vector<float>& x) {
  g.graph.outputs.push_back(g.gradients.at(0).gradient);
  Executor executor(g.graph);
  const auto input = executor.f32(executor.graph().inputs[0]);
  std::copy_n(x.begin(), input.size(), input.begin());
  const auto target = executor.f32(g.target);
  std::fill(target.begin(), target.end(), 0.0f);
  executor.step();
  const auto gradient = executor.f32(g.gradients[0].gradient);
  return {gradient.begin(), gradient.end()};
}

// One number x, one weight w = 3.
class Scalar : public testing::Test {
 protected:
  Scalar() {
    g_.source = "scalar.onnx";
    x_ = g_.add_input("x", {DType::kF32, {1}});
    const float three = 3;
    w_ = g_.add_persistent("w", Role::kWeight, make_tensor({1}, {&three, 1}));
  }
  ValueId scale(ValueId x, float factor) {
    return emit(g_, kScale, "scale", {x}, {{"factor", factor}});
  }
  // Of mean squared error against 0: d(y^2)/dw.
  float gradient(ValueId y, float x) {
    g_.outputs = {y};
    return gradient_at(differentiate(g_, kSquared, scheme_of(g_, {"w"})), {x})[0];
  }

  Graph g_;
  ValueId x_, w_;
};

TEST_F(Scalar, GradientsOfADiamondAreAdded) {
  const ValueId a = emit(g_, kMul, "a", {x_, w_});
  const ValueId h = scale(a, 2);
  const ValueId y = emit(g_, kAdd, "y", {h, scale(h, 2)});  // y = 6 x w
  EXPECT_FLOAT_EQ(gradient(y, 0.5f), 2 * 9.0f * 3.0f);
}

TEST_F(Scalar, GradientsOfASharedWeightAreAdded) {
  const ValueId a = emit(g_, kMul, "a", {x_, w_});
  const ValueId y = emit(g_, kMul, "y", {a, w_});  // y = x w^2
  EXPECT_FLOAT_EQ(gradient(y, 0.5f), 2 * 4.5f * 2 * 0.5f * 3);
}

TEST_F(Scalar, AnOperatorMayReadTheSameValueTwice) {
  const ValueId y = emit(g_, kMul, "y", {w_, w_});  // y = w^2
  EXPECT_FLOAT_EQ(gradient(y, 0.0f), 2 * 9.0f * 6);
}

TEST_F(Scalar, ABranchThatDoesNotReachTheLossAddsNothing) {
  const ValueId y = emit(g_, kMul, "y", {x_, w_});
  emit(g_, kMul, "unread", {y, w_});
  EXPECT_FLOAT_EQ(gradient(y, 0.5f), 2 * 1.5f * 0.5f);
}

TEST_F(Scalar, AViewPassesItsGradientOn) {
  const ValueId a = emit(g_, kReshape, "reshape", {w_}, {{"shape", Shape{1, 1}}});
  const ValueId y = emit(g_, kMul, "y", {a, x_});
  EXPECT_FLOAT_EQ(gradient(y, 0.5f), 2 * 1.5f * 0.5f);
}

TEST(Differentiate, AnUnusedInputStaysAnInput) {
  Graph model = mlp(2, 3, {4});
  model.add_input("unused", {DType::kF32, {7}});
  const GradientGraph g = differentiate(model, {}, scheme_of(model, {"fc0.bias"}));
  verify(g.graph);
  ASSERT_EQ(g.graph.inputs.size(), 3u);
  EXPECT_EQ(g.graph.value(g.graph.inputs[1]).name, "unused");
  EXPECT_EQ(g.graph.inputs[2], g.target);
}

TEST(Differentiate, RefusesASchemeThatTrainsNothing) {
  EXPECT_THROW(differentiate(mlp(2, 3, {4}), {}, {}), InputError);
}

TEST(Differentiate, RefusesAParameterTheOutputDoesNotDependOn) {
  Graph model = mlp(2, 3, {4});
  linear(model, "other", model.inputs[0], 2);
  try {
    differentiate(model, {}, scheme_of(model, {"fc0.bias", "other.weight"}));
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("mlp"), HasSubstr("\"other.weight\"")));
  }
}

TEST(Differentiate, NamesEveryNodeWithoutAGradientRule) {
  Graph g;
  g.source = "m.onnx";
  ValueId y = linear(g, "fc", g.add_input("x", {DType::kF32, {2, 3}}), 4);
  const ValueId mask = emit(g, kClipMask, "bits", {y}, {{"low", 0.0f}, {"high", 6.0f}});
  y = emit(g, kMaskApply, "apply", {y, mask});
  y = emit(g, kTanhGrad, "first", {y, y});
  y = emit(g, kTanhGrad, "second", {y, y});
  g.outputs = {linear(g, "head", y, 5)};
  try {
    differentiate(g, {}, scheme_of(g, {"fc.bias"}));
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("m.onnx"), HasSubstr("\"first\" (TanhGrad)"),
                                    HasSubstr("\"second\" (TanhGrad)")));
  }
  // Frozen below, there is nothing to ask these nodes.
  EXPECT_NO_THROW(differentiate(g, {}, scheme_of(g, {"head.weight", "head.bias"})));
}

TEST(Differentiate, HasNoBackwardPassBelowTheFirstTrainedParameter) {
  const Graph model = mlp(2, 3, {4, 5, 6});
  const Graph graph = differentiate(model, {}, scheme_of(model, {"fc2.weight", "fc2.bias"})).graph;
  std::vector<std::string> backward;
  for (const Node& node : graph.nodes()) {
    if (node.phase == Phase::kBackward) backward.push_back(std::string(node.op->name));
  }
  EXPECT_THAT(backward, ElementsAre("SoftmaxCrossEntropyGrad", "SumTo", "MatMul"));
}

TEST(Differentiate, GradientsHaveTheTypesOfTheirParametersInOrderOfComputation) {
  const Graph model = small_cnn(2);
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(model)) scheme.parameters.push_back({id, Group::kHead});
  const GradientGraph g = differentiate(model, {}, scheme);
  verify(g.graph);
  ASSERT_EQ(g.gradients.size(), scheme.parameters.size());
  NodeId last{0};
  for (const ParameterGradient& p : g.gradients) {
    EXPECT_EQ(g.graph.value(p.gradient).type, g.graph.value(p.parameter).type);
    EXPECT_EQ(p.group, Group::kHead);
    EXPECT_GE(g.graph.value(p.gradient).producer, last);
    last = g.graph.value(p.gradient).producer;
  }
  EXPECT_THAT(g.graph.outputs, ElementsAre(g.loss, g.prediction));
}

// Two layers read the weight, one of them through a view: the whole gradient is computed there.
TEST(Differentiate, ChannelsOfASharedWeightHaveTheGradientsOfTheWholeOne) {
  const auto model_of = [](bool has_view) {
    Graph g;
    g.source = "shared.onnx";
    const ValueId x = g.add_input("x", {DType::kF32, {3, 4}});
    const ValueId w = add_weight(g, "w", {4, 4});
    const ValueId again = has_view ? emit(g, kReshape, "view", {w}, {{"shape", Shape{4, 4}}}) : w;
    g.outputs = {emit(g, kLinear, "b", {emit(g, kLinear, "a", {x, w}), again})};
    return g;
  };
  std::vector<float> input(12);
  for (size_t i = 0; i < input.size(); ++i) input[i] = 0.3f * static_cast<float>(i % 5) - 0.5f;
  for (const bool has_view : {false, true}) {
    const Graph g = model_of(has_view);
    UpdateScheme scheme = scheme_of(g, {"w"});
    const std::vector<float> whole = gradient_at(differentiate(g, kSquared, scheme), input);
    scheme.parameters[0].channels = {1, 3};
    const std::vector<float> part = gradient_at(differentiate(g, kSquared, scheme), input);
    ASSERT_EQ(part.size(), 8u);
    for (size_t i = 0; i < part.size(); ++i) {
      EXPECT_NEAR(part[i], whole[(i / 4 == 0 ? 1u : 3u) * 4 + i % 4], 1e-5) << has_view;
    }
  }
}

// The input of the layer is not kept, and the backward pass is the same elsewhere.
TEST(Differentiate, AWeightThatTrainsInPartKeepsThoseChannelsOnly) {
  const Graph model = small_cnn(2);
  UpdateScheme scheme = scheme_of(model, {"block2.expand.weight"});
  const auto kept_elements = [&] {
    const GradientGraph g = differentiate(model, {}, scheme);
    int64_t elements = 0;
    for (const ValueId id : saved_values(g.graph)) {
      const TensorType& type = g.graph.value(id).type;
      if (type.dtype == DType::kF32 && type.rank() == 4) elements += type.elements();
    }
    return elements;
  };
  const int64_t whole = kept_elements();
  EXPECT_EQ(whole, 2 * 8 * 8 * 8);
  scheme.parameters[0].channels = {2, 5};
  EXPECT_EQ(kept_elements(), 2 * 8 * 8 * 2);
}

TEST(Differentiate, LeavesTheModelAsItWas) {
  const Graph model = small_cnn(1);
  const std::string before = to_string(model);
  differentiate(model, {}, scheme_of(model, {"stem.weight"}));
  EXPECT_EQ(to_string(model), before);
}

TEST(Differentiate, ASoftmaxBeforeTheCrossEntropyIsLeftOut) {
  Graph model = mlp(2, 3, {4});
  const ValueId scores = model.outputs[0];
  model.outputs = {emit(model, kSoftmax, "softmax", {scores}, {{"axis", int64_t{1}}})};
  EXPECT_EQ(class_scores(model), scores);
  const GradientGraph g = differentiate(model, {}, scheme_of(model, {"fc0.bias"}));
  EXPECT_THAT(to_string(g.graph), Not(HasSubstr("Softmax(")));
}

TEST(Differentiate, RefusesACrossEntropyOfAnythingButClassScores) {
  Graph model = small_cnn(1);
  model.outputs = {model.nodes()[0].outputs[0]};
  try {
    differentiate(model, {}, scheme_of(model, {"stem.bias"}));
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("f32[1,8,8,8]"));
  }
}

// Central differences through a whole network, both losses.
TEST(Differentiate, MatchesCentralDifferencesOfTheLoss) {
  for (const Loss::Kind kind : {Loss::Kind::kSoftmaxCrossEntropy, Loss::Kind::kMeanSquaredError}) {
    const Graph model = small_cnn(2);
    GradientGraph g = differentiate(model, {.kind = kind, .label_smoothing = 0.1f},
                                    scheme_of(model, {"stem.bias"}));
    const ValueId gradient = g.gradients[0].gradient;
    g.graph.outputs.push_back(gradient);
    Executor executor(g.graph);
    const auto x = random_tensor({2, 8, 8, 3}, 9);
    const auto loss_at = [&] {
      std::copy(x->f32().begin(), x->f32().end(), executor.f32(g.graph.inputs[0]).begin());
      if (kind == Loss::Kind::kMeanSquaredError) {
        const auto target = random_tensor({2, 5}, 8);
        std::copy_n(target->f32().begin(), 10, executor.f32(g.target).begin());
      } else {
        executor.i32(g.target)[0] = 1;
        executor.i32(g.target)[1] = 4;
      }
      executor.step();
      return double{executor.f32(g.loss)[0]};
    };
    loss_at();
    const auto analytic = executor.f32(gradient);
    const std::vector<float> expected(analytic.begin(), analytic.end());
    const auto bias = executor.f32(g.gradients[0].parameter);
    constexpr float kStep = 1e-2f;
    for (size_t i = 0; i < bias.size(); ++i) {
      const float old = bias[i];
      bias[i] = old + kStep;
      const double up = loss_at();
      bias[i] = old - kStep;
      const double down = loss_at();
      bias[i] = old;
      EXPECT_NEAR(expected[i], (up - down) / (2 * kStep), 2e-2 * std::abs(expected[i]) + 1e-3);
    }
  }
}

}  // namespace
}  // namespace tinytl

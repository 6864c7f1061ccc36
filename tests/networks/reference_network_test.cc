// Reference networks: the sizes that are published, and that each of them trains.

#include "tinytl/networks/reference_network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "engine/ops/op_table.h"
#include "tinytl/methods/classifier.h"
#include "tinytl/methods/update.h"
#include "tinytl/train/session.h"

namespace tinytl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

bool is_convolution(const Node& node) {
  return node.op == &kConv2d || node.op == &kDepthwiseConv2d;
}

int64_t parameters_of(const Graph& graph) {
  int64_t count = 0;
  for (const Value& value : graph.values()) {
    if (is_parameter(value.role)) count += value.type.elements();
  }
  return count;
}

int64_t channels_of_convolutions(const Graph& graph) {
  int64_t count = 0;
  for (const Node& node : graph.nodes()) {
    if (is_convolution(node)) count += graph.value(node.output()).type.shape.back();
  }
  return count;
}

int64_t multiply_adds(const Graph& graph) {
  int64_t count = 0;
  for (const Node& node : graph.nodes()) {
    if (!is_convolution(node) && node.op != &kLinear) continue;
    const Shape& out = graph.value(node.output()).type.shape;
    const int64_t channels = out.back();
    const int64_t positions = graph.value(node.output()).type.elements() / channels;
    count += positions * graph.value(node.input(1)).type.elements();
  }
  return count;
}

struct Published {
  const char* name;
  int64_t resolution, parameters, multiply_adds;
};

// Of the papers, Keras and torchvision, with 1000 classes.
TEST(ReferenceNetworks, HaveTheSizesThatArePublished) {
  for (const Published& p : {Published{"proxylessnas-mobile", 224, 4080512, 320427584},
                             Published{"mobilenet-v2", 224, 3504872, 300774272},
                             Published{"mobilenet-v1", 224, 4231976, 568740352},
                             Published{"resnet-18", 224, 11689512, 1814073344},
                             Published{"resnet-34", 224, 21797672, 3663761408},
                             Published{"resnet-50", 224, 25557032, 4089184256}}) {
    NetworkOptions options{.resolution = p.resolution, .values = false};
    const Graph folded = reference_network(p.name, options);
    options.norm = NetworkNorm::kGroup;
    const Graph graph = reference_network(p.name, options);
    EXPECT_EQ(parameters_of(graph), p.parameters) << p.name;
    // Of the two numbers a channel, folding leaves the bias.
    EXPECT_EQ(parameters_of(folded), p.parameters - channels_of_convolutions(graph)) << p.name;
    EXPECT_EQ(multiply_adds(graph), p.multiply_adds) << p.name;
    EXPECT_EQ(multiply_adds(folded), p.multiply_adds) << p.name;
  }
}

std::vector<float> values_of(const Graph& graph, const char* name) {
  const auto values = graph.value(graph.id_of(name)).data->f32();
  return {values.begin(), values.end()};
}

TEST(ReferenceNetworks, ValuesAreOfTheNameAndTheSeedAlone) {
  const Graph small = reference_network("resnet-18", {.batch = 3, .resolution = 32, .classes = 10});
  const Graph large = reference_network("resnet-18", {.resolution = 64, .classes = 1000});
  const Graph other = reference_network("resnet-18", {.resolution = 32, .seed = 1});
  const char* name = "block2.conv1.weight";
  EXPECT_EQ(values_of(small, name), values_of(large, name));
  EXPECT_NE(values_of(small, name), values_of(other, name));
  EXPECT_NE(values_of(small, name), values_of(small, "block2.conv2.weight"));

  const Graph none = reference_network("resnet-18", {.resolution = 32, .values = false});
  EXPECT_THAT(values_of(none, name), testing::Each(0.0f));
}

TEST(ReferenceNetworks, WeightsHaveTheVarianceOfTheirFanIn) {
  const Graph graph = reference_network("resnet-18", {.resolution = 32});
  const std::vector<float> weights = values_of(graph, "block8.conv1.weight");  // 3x3, 512 -> 512
  double sum = 0, squares = 0;
  for (const float w : weights) {
    sum += w;
    squares += double{w} * w;
  }
  const auto n = static_cast<double>(weights.size());
  const double wanted = 2.0 / (3 * 3 * 512);
  EXPECT_NEAR(squares / n / wanted, 1.0, 5 * std::sqrt(2.0 / n));
  EXPECT_NEAR(sum / n, 0.0, 5 * std::sqrt(wanted / n));
}

TEST(ReferenceNetworks, WidthsScaleChannels) {
  const Graph graph = reference_network("mobilenet-v2-0.35", {.resolution = 32, .values = false});
  EXPECT_EQ(graph.value(graph.id_of("stem.weight")).type.shape, (Shape{3, 3, 3, 16}));
  EXPECT_EQ(graph.value(graph.id_of("block1.project.weight")).type.shape.back(), 8);
  EXPECT_EQ(graph.value(graph.id_of("block17.project.weight")).type.shape.back(), 112);
  EXPECT_EQ(graph.value(graph.id_of("features.weight")).type.shape.back(), 1280);
  // Howard et al.'s 0.5 million.
  EXPECT_EQ(parameters_of(reference_network("mobilenet-v1-0.25",
                                            {.norm = NetworkNorm::kGroup, .values = false})),
            470072);
}

TEST(ReferenceNetworks, NormsStartAsTheIdentity) {
  const Graph graph =
      reference_network("mobilenet-v2", {.resolution = 32, .norm = NetworkNorm::kGroup});
  EXPECT_THAT(values_of(graph, "block3.expand.norm.weight"), testing::Each(1.0f));
  EXPECT_THAT(values_of(graph, "block3.expand.norm.bias"), testing::Each(0.0f));
  EXPECT_THAT(graph.find("block3.expand.bias"), testing::IsNull());
}

std::string refusal(const std::string& name, const NetworkOptions& options = {}) {
  try {
    reference_network(name, options);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(ReferenceNetworks, UnknownNamesAreToldTheKnownOnes) {
  for (const char* name : {"mobilenet-v7", "", "mobilenet-v2-", "mobilenet-v2-0.35x",
                           "mobilenet-v2-0", "mobilenet-v2-nan", "resnet-50-0.5", "resnet-500"}) {
    testing::Matcher<std::string> all = HasSubstr("--network " + std::string(name));
    for (const std::string& known : reference_networks()) all = AllOf(all, HasSubstr(known));
    EXPECT_THAT(refusal(name), AllOf(all, testing::Not(HasSubstr("\n")))) << name;
  }
}

TEST(ReferenceNetworks, ResolutionsThatAreTooSmallAreRefused) {
  EXPECT_THAT(refusal("mobilenet-v2", {.resolution = 31}),
              AllOf(HasSubstr("--resolution 31"), HasSubstr("32 or more")));
  for (const std::string& name : reference_networks()) {
    EXPECT_EQ(refusal(name, {.resolution = 32, .values = false}), "accepted") << name;
  }
}

// A step on a batch of the same noise for every network.
class OneStep : public testing::TestWithParam<std::string> {
 protected:
  static constexpr int64_t kBatch = 2, kResolution = 32, kClasses = 5;

  static Batch noise() {
    Batch batch;
    batch.count = kBatch;
    batch.size = {kResolution, kResolution, 3};
    for (int64_t i = 0; i < kBatch * kResolution * kResolution * 3; ++i) {
      batch.pixels.push_back(static_cast<uint8_t>((i * 2654435761u) >> 24));
    }
    batch.labels = {1, 3};
    return batch;
  }
};

TEST_P(OneStep, LowersTheLoss) {
  const Loss loss;
  const FittedClassifier network = keep_classifier(
      reference_network(GetParam(),
                        {.batch = kBatch, .resolution = kResolution, .classes = kClasses}),
      "");
  ASSERT_EQ(network.parameters.size(), 2u);
  const UpdateScheme scheme = make_scheme(network.graph, Update::kBias, network.parameters);
  const OptimizerOptions sgd{.kind = OptimizerOptions::Kind::kSgd, .momentum = 0};
  Session session(append_updates(differentiate(network.graph, loss, scheme), sgd), network.graph,
                  loss);
  const Batch batch = noise();
  const LearningRates rates{1e-3, 1e-3};
  const double before = session.train_step(batch, {}, rates, 1).loss;
  const double after = session.train_step(batch, {}, rates, 1).loss;
  EXPECT_TRUE(std::isfinite(before));
  EXPECT_LT(after, before);
}

std::string test_name(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  std::erase_if(name, [](char c) { return c == '-' || c == '.'; });
  return name;
}

INSTANTIATE_TEST_SUITE_P(EveryNetwork, OneStep, testing::ValuesIn([] {
                           std::vector<std::string> names = reference_networks();
                           names.push_back("mobilenet-v2-0.35");
                           return names;
                         }()),
                         test_name);

}  // namespace
}  // namespace tinytl

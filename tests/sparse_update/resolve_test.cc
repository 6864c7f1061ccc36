// What a scheme file means in a network.

#include "sparse_update/resolve.h"

#include <gmock/gmock.h>

#include <map>

#include "sparse_update/layers.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class Resolve : public testing::Test {
 protected:
  // Convolutions: stem, then expand, depthwise and project of two blocks.
  Graph model_ = small_cnn(1);
  const std::vector<ValueId> head_{model_.id_of("fc.weight"), model_.id_of("fc.bias")};

  UpdateScheme scheme(const std::string& entries) const {
    return resolve(parse_scheme("{\"train\": [" + entries + "]}", "s.json"), model_, head_);
  }
  std::vector<std::string> names(const std::string& entries) const {
    std::vector<std::string> names;
    for (const TrainedParameter& p : scheme(entries).parameters) {
      if (p.group == Group::kBackbone) names.push_back(model_.value(p.parameter).name);
    }
    return names;
  }
  std::vector<int64_t> channels(const std::string& entries, const std::string& name) const {
    for (const TrainedParameter& p : scheme(entries).parameters) {
      if (model_.value(p.parameter).name == name) return p.channels;
    }
    ADD_FAILURE() << name << " does not train";
    return {};
  }
  std::string error(const std::string& entries) const {
    try {
      scheme(entries);
    } catch (const InputError& error) {
      return error.what();
    }
    return "none";
  }
};

TEST_F(Resolve, TheClassifierAlwaysTrains) {
  for (const char* entries : {"", "{\"last_biases\": 0}", "\"stem.bias\"", "\"fc.*\""}) {
    std::vector<ValueId> head;
    for (const TrainedParameter& p : scheme(entries).parameters) {
      if (p.group == Group::kHead) head.push_back(p.parameter);
    }
    EXPECT_EQ(head, head_) << entries;
  }
}

TEST_F(Resolve, AStarStandsForAnything) {
  EXPECT_THAT(names("\"block2.*.bias\""),
              ElementsAre("block2.expand.bias", "block2.depthwise.bias", "block2.project.bias"));
  EXPECT_THAT(names("\"block1.expand.weight\""), ElementsAre("block1.expand.weight"));
  EXPECT_THAT(names("\"*1.exp*\""), ElementsAre("block1.expand.weight", "block1.expand.bias"));
}

TEST_F(Resolve, ConvolutionsCountFromTheInput) {
  EXPECT_THAT(names("{\"conv\": 0}"), ElementsAre("stem.weight"));
  EXPECT_THAT(names("{\"conv\": 5, \"channels\": 0.5}"), ElementsAre("block2.depthwise.weight"));
  EXPECT_THAT(names("{\"last_biases\": 2}"),
              ElementsAre("block2.depthwise.bias", "block2.project.bias"));
  EXPECT_THAT(names("{\"last_layers\": 1}"),
              ElementsAre("block2.project.weight", "block2.project.bias"));
}

TEST_F(Resolve, ABiasMayBeNamedTwice) {
  EXPECT_THAT(names("{\"last_biases\": 3}, {\"last_layers\": 1}"),
              UnorderedElementsAre("block2.expand.bias", "block2.depthwise.bias",
                                   "block2.project.bias", "block2.project.weight"));
}

TEST_F(Resolve, PartsAreRoundedDownToOneAtLeast) {
  const auto count = [&](const char* part) {
    const std::string entry = "{\"conv\": 1, \"channels\": " + std::string(part) + "}";
    return channels(entry, "block1.expand.weight").size();
  };
  EXPECT_EQ(count("0.5"), 4u);
  EXPECT_EQ(count("0.49"), 3u);
  EXPECT_EQ(count("0.01"), 1u);
  EXPECT_EQ(count("1"), 0u) << "all of them are named by an empty list";
  EXPECT_EQ(count("0.999"), 7u);
}

TEST_F(Resolve, APartOfNothingFreezesTheWeight) {
  EXPECT_THAT(names("{\"conv\": 1, \"channels\": 0}"), IsEmpty());
}

TEST_F(Resolve, TakesTheChannelsOfTheLargestNorm) {
  const auto w = std::make_shared<Tensor>(TensorType{DType::kF32, {1, 2, 4, 2}});
  const std::vector<float> norms{1, -4, 2, 3};
  for (size_t i = 0; i < w->f32().size(); ++i) w->f32()[i] = norms[i / 2 % 4];
  EXPECT_THAT(largest_channels(*w, 2), ElementsAre(1, 3));
  EXPECT_THAT(largest_channels(*w, 3), ElementsAre(1, 2, 3));
  const std::vector<float> equal(6, 1.0f);
  EXPECT_THAT(largest_channels(*make_tensor({3, 2}, equal), 2), ElementsAre(0, 1));
  const std::vector<float> rows{1, 1, 0, 3, 2, 2};
  EXPECT_THAT(largest_channels(*make_tensor({3, 2}, rows), 1), ElementsAre(1));
  EXPECT_THAT(largest_channels(*make_tensor({1, 1, 6}, rows), 2), ElementsAre(3, 4));
}

TEST_F(Resolve, MistakesAreNamedWithTheirMending) {
  EXPECT_THAT(error("\"stem.bias\", \"blok*\""),
              AllOf(HasSubstr("s.json: entry 2, \"blok*\": "), HasSubstr("no parameter of")));
  EXPECT_THAT(error("{\"conv\": 7}"), HasSubstr("has 7 convolutions; give numbers from 0 to 6"));
  EXPECT_THAT(error("{\"last_biases\": 8}"), HasSubstr("7 convolutions; give a number up to 7"));
  EXPECT_THAT(error("{\"conv\": 1}, {\"weight\": \"block1.*.weight\", \"channels\": 0.5}"),
              HasSubstr("\"block1.expand.weight\" is named by entry 1 too; leave one out"));
  EXPECT_THAT(error("{\"last_biases\": 3}, {\"last_biases\": 2}"),
              HasSubstr("other entries name all of it; leave it out"));
  EXPECT_THAT(error("{\"weight\": \"fc.weight\", \"channels\": 0.5}"),
              HasSubstr("is of the classifier, which trains whole"));
  EXPECT_THAT(error("{\"weight\": \"stem.bias\", \"channels\": 0.5}"),
              HasSubstr("no input channels to choose from"));
}

TEST_F(Resolve, AWeightThatNoGradientReachesIsRefused) {
  Graph& g = model_;
  convolution(g, "dead", g.inputs[0], 4, /*kernel=*/1);
  EXPECT_THAT(error("\"dead.weight\""), HasSubstr("the output does not depend on \"dead.weight\""));
  EXPECT_EQ(convolutions(g, head_).size(), 8u) << "it still has a number";
}

TEST_F(Resolve, AnOperatorWithoutAGradientIsNamed) {
  Graph g;
  g.source = "blocked.onnx";
  const ValueId x = g.add_input("x", {DType::kF32, {1, 4}});
  const ValueId y = linear(g, "fc0", x, 4);
  const ValueId grid = emit(g, kRangeDecode, "decode",
                            {emit(g, kRangeEncode, "encode", {y}, {{"bits", int64_t{8}}})});
  g.outputs = {linear(g, "fc1", grid, 3)};
  try {
    resolve(parse_scheme(R"({"train": ["fc0.bias"]})", "s.json"), g,
            std::vector<ValueId>{g.id_of("fc1.weight"), g.id_of("fc1.bias")});
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("no gradient passes node \"encode\" (RangeEncode)"));
  }
}

TEST(ResolveWithoutClassifier, NothingToTrainIsRefused) {
  const Graph model = small_cnn(1);
  EXPECT_THROW(resolve(parse_scheme(R"({"train": []})", "s.json"), model, {}), InputError);
}

}  // namespace
}  // namespace tinytl

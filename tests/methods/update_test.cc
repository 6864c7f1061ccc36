// Which parameters each update method trains.

#include "tinytl/methods/update.h"

#include <gmock/gmock.h>

#include "tests/graph/support.h"

namespace tinytl {
namespace {

using testing::UnorderedElementsAre;

std::vector<std::string> names(const Graph& graph, const UpdateScheme& scheme, Group group) {
  std::vector<std::string> result;
  for (const TrainedParameter& p : scheme.parameters) {
    if (p.group == group) result.push_back(graph.value(p.parameter).name);
  }
  return result;
}

class UpdateTest : public testing::Test {
 protected:
  UpdateScheme scheme(Update update) { return make_scheme(model_, update, head_); }
  const Graph model_ = mlp(2, 3, {4, 5, 6});
  const std::vector<ValueId> head_{model_.id_of("fc2.weight"), model_.id_of("fc2.bias")};
};

TEST_F(UpdateTest, LastTrainsTheClassifierAlone) {
  EXPECT_THAT(names(model_, scheme(Update::kLast), Group::kHead),
              UnorderedElementsAre("fc2.weight", "fc2.bias"));
  EXPECT_THAT(names(model_, scheme(Update::kLast), Group::kBackbone), testing::IsEmpty());
}

TEST_F(UpdateTest, BiasTrainsEveryBiasAndTheClassifier) {
  EXPECT_THAT(names(model_, scheme(Update::kBias), Group::kHead),
              UnorderedElementsAre("fc2.weight", "fc2.bias"));
  EXPECT_THAT(names(model_, scheme(Update::kBias), Group::kBackbone),
              UnorderedElementsAre("fc0.bias", "fc1.bias"));
}

TEST_F(UpdateTest, FullTrainsEveryParameterButNoConstant) {
  Graph model = model_;
  model.add_persistent("epsilon", Role::kConstant, random_tensor({1}, 1));
  const UpdateScheme full = make_scheme(model, Update::kFull, head_);
  EXPECT_EQ(full.parameters.size(), 6u);
  EXPECT_THAT(names(model, full, Group::kBackbone),
              UnorderedElementsAre("fc0.weight", "fc0.bias", "fc1.weight", "fc1.bias"));
}

TEST_F(UpdateTest, WithoutAClassifierLastIsRefused) {
  try {
    make_scheme(model_, Update::kLast, {});
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("--update last"),
                                             testing::HasSubstr("--update bias"),
                                             testing::HasSubstr("--head NAME")));
  }
  EXPECT_EQ(make_scheme(model_, Update::kBias, {}).parameters.size(), 3u);
}

TEST_F(UpdateTest, NamesAreReadAsTheyAreWritten) {
  for (const Update update : {Update::kLast, Update::kBias, Update::kFull}) {
    EXPECT_EQ(parse_update(name_of(update)), update);
  }
  EXPECT_FALSE(parse_update("most").has_value());
}

}  // namespace
}  // namespace tinytl

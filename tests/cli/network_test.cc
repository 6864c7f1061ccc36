// --network: a reference network in the place of a model file; --accounting: the paper's bill.

#include "tests/cli/support.h"

namespace tinytl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class Network : public CliTest {
 protected:
  Json plan(const Words& flags) const {
    Words command{TINYTL_PLAN, "--report", "plan.json"};
    command.insert(command.end(), flags.begin(), flags.end());
    const Output output = run(command);
    EXPECT_EQ(output.exit_code, 0) << output;
    return json_of("plan.json");
  }
};

TEST_F(Network, PlansWhatTrainingUses) {
  const Words flags{"--network", "mobilenet-v1-0.25", "--resolution", "32",           "--classes",
                    "7",         "--update",          "lite+bias",    "--batch-size", "4"};
  const Json planned = plan(flags);
  EXPECT_EQ(planned.at("model"), "mobilenet-v1-0.25");
  Words training{TINYTL_TRAIN, "--synthetic", "--max-steps", "2", "--report", "report.json"};
  training.insert(training.end(), flags.begin(), flags.end());
  const Output output = run(training);
  ASSERT_EQ(output.exit_code, 0) << output;
  EXPECT_THAT(output.out, HasSubstr("mobilenet-v1-0.25"));
  const Json used = json_of("report.json");
  for (const auto& [key, value] : planned.items()) {
    if (key == "predicted_step_seconds") continue;  // by the speed that each command measured
    EXPECT_EQ(used.at(key), value) << key;
  }
}

TEST_F(Network, AccountingIsThatOfThePaper) {
  const Json report = plan({"--network", "proxylessnas-mobile", "--resolution", "96", "--classes",
                            "102", "--update", "lite+bias", "--accounting", "tinytl"});
  EXPECT_NEAR(report.at("accounting_bytes").get<double>() / 1e6, 15.5, 0.05);
  EXPECT_EQ(report.at("accounting_bytes").get<int64_t>(),
            report.at("accounting_activation_bytes").get<int64_t>() +
                report.at("accounting_trainable_bytes").get<int64_t>() +
                report.at("accounting_frozen_bytes").get<int64_t>());
  EXPECT_EQ(report.at("trainable_bytes"), report.at("accounting_trainable_bytes"));
  EXPECT_EQ(report.at("trainable_scalars"), 1962310);
  EXPECT_EQ(report.at("accounting_trainable_scalars"), 1962310);
  EXPECT_GT(report.at("accounting_frozen_norm_bytes").get<int64_t>(),
            report.at("accounting_activation_bytes").get<int64_t>());
}

TEST_F(Network, AccountingIsOfTheModelFileAsItIsPlanned) {
  for (const char* update : {"last", "lite", "full"}) {
    const Json report = plan({"--model", model, "--update", update, "--accounting", "tinytl",
                              "--batch-size", "1", "--classes", "5"});
    EXPECT_EQ(report.at("accounting_trainable_bytes"), report.at("trainable_bytes")) << update;
    EXPECT_GT(report.at("accounting_activation_bytes").get<int64_t>(), 0) << update;
  }
  EXPECT_FALSE(plan({"--model", model}).contains("accounting_bytes"));
}

TEST_F(Network, WhatCannotBeBuiltIsRefused) {
  EXPECT_THAT(run({TINYTL_PLAN, "--network", "resnet-19"}),
              fails_with(3, {"resnet-19", "resnet-18", "proxylessnas-mobile"}));
  EXPECT_THAT(run({TINYTL_PLAN, "--network", "resnet-18", "--resolution", "24"}),
              fails_with(3, {"--resolution 24", "32 or more"}));
  EXPECT_THAT(run({TINYTL_PLAN, "--network", "resnet-18", "--head", "nothing"}),
              fails_with(3, {"resnet-18", "--head \"classifier\""}));
}

TEST_F(Network, StandsInForAModelFileOrNot) {
  EXPECT_THAT(run({TINYTL_PLAN}), fails_with(2, {"--model is required", "--network"}));
  EXPECT_THAT(run({TINYTL_PLAN, "--model", model, "--network", "resnet-18"}),
              fails_with(2, {"--model", "--network"}));
  EXPECT_THAT(run({TINYTL_TRAIN, "--network", "resnet-18", "--data", "photos"}),
              fails_with(2, {"--synthetic"}));
  EXPECT_THAT(run({TINYTL_PLAN, "--model", model, "--accounting", "other"}),
              fails_with(2, {"--accounting"}));
}

}  // namespace
}  // namespace tinytl

// --update sparse from the command line: schemes, bills, resumed runs, and tinytl-sparsify.

#include <algorithm>
#include <fstream>
#include <string>

#include "tests/cli/support.h"
#include "tests/cli/xml_defect.h"

namespace tinytl {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kScheme = R"({"train": [
  {"last_biases": 5}, {"conv": 4, "channels": 0.5}, {"conv": 5, "channels": 0.25}, {"conv": 6}]})";

// The digits that follow the first `words`; "" where there are none.
std::string number_behind(const std::string& text, const std::string& words) {
  const size_t at = text.find(words);
  if (at == std::string::npos) return "";
  const size_t begin = at + words.size();
  return text.substr(begin, text.find_first_not_of("0123456789", begin) - begin);
}

class Sparse : public CliTest {
 protected:
  Sparse() { write_scheme(kScheme); }

  void write_scheme(const std::string& text) const {
    std::ofstream(folder / "scheme.json") << text;
  }
  // `flags` behind those of a sparse update.
  Words sparse(Words flags = {}) const {
    flags.insert(flags.begin(), {"--update", "sparse", "--scheme", "scheme.json"});
    return flags;
  }
  Json plan(const Words& flags, const std::string& batch = "4") const {
    Words command{TINYTL_PLAN,    "--model", model,      "--classes", "3",
                  "--batch-size", batch,     "--report", "plan.json"};
    command.insert(command.end(), flags.begin(), flags.end());
    const Output output = run(command);
    EXPECT_EQ(output.exit_code, 0) << output.err;
    return json_of("plan.json");
  }
};

TEST_F(Sparse, SchemeAndUpdateBelongTogether) {
  EXPECT_THAT(train({"--update", "sparse"}), fails_with(2, {"needs --scheme FILE"}));
  EXPECT_THAT(train({"--scheme", "scheme.json"}), fails_with(2, {"--update sparse"}));
  EXPECT_THAT(train({"--update", "sparse", "--scheme", "last:x"}), fails_with(3, {"as last:6"}));
  EXPECT_THAT(train({"--update", "sparse", "--scheme", "last:99"}),
              fails_with(3, {"--scheme last:99", "convolutions"}));
}

TEST_F(Sparse, MistakesInASchemeAreNamed) {
  EXPECT_THAT(train({"--update", "sparse", "--scheme", "no.json"}), fails_with(3, {"no.json"}));
  for (const auto& [text, message] : std::vector<std::pair<std::string, std::string>>{
           {"{\"train\": [", "is no JSON"},
           {R"({"train": ["nothing*"]})", "no parameter"},
           {R"({"train": [{"conv": 77}]})", "numbers from 0 to"},
           {R"({"train": [{"conv": 4, "channels": 1.5}]})", "at most 1"},
           {R"({"train": [{"conv": 4}, {"conv": 4}]})", "too; leave one out"}}) {
    write_scheme(text);
    EXPECT_THAT(train(sparse()), fails_with(3, {"scheme.json", message})) << text;
  }
}

// One tensor in memory: what trains of it and the rest are counted once.
TEST_F(Sparse, APartOfAWeightIsTrainableAndTheRestFrozen) {
  const auto parameters = [](const Json& report) {
    return report.at("trainable_bytes").get<size_t>() + report.at("frozen_bytes").get<size_t>();
  };
  const Json whole = plan({"--update", "full"}), bias = plan({"--update", "bias"});
  const Json part = plan(sparse());
  EXPECT_EQ(parameters(part), parameters(whole));
  EXPECT_EQ(parameters(part), parameters(bias));
  EXPECT_EQ(part.at("trainable_bytes").get<size_t>(),
            4 * part.at("trainable_scalars").get<size_t>());
  const Json adam8 = plan(sparse({"--optimizer", "adam8bit", "--micro-batch", "4"}));
  const Json adam = plan(sparse({"--micro-batch", "4"}));
  EXPECT_EQ(adam.at("optimizer_bytes").get<size_t>(), 2 * adam.at("trainable_bytes").get<size_t>());
  EXPECT_LT(adam8.at("optimizer_bytes"), adam.at("optimizer_bytes"));
  EXPECT_LT(part.at("saved_bytes"), whole.at("saved_bytes"));
}

TEST_F(Sparse, TrainsInWhatWasPlanned) {
  const Json planned = plan(sparse());
  const Output output = train(sparse({"--report", "report.json"}));
  ASSERT_EQ(output.exit_code, 0) << output.err;
  const Json used = json_of("report.json");
  for (const char* key : {"arena_bytes", "trainable_bytes", "optimizer_bytes", "frozen_bytes"}) {
    EXPECT_EQ(used.at(key), planned.at(key)) << key;
  }
  EXPECT_EQ(used.at("allocations_in_step"), 0);
  EXPECT_EQ(used.at("update"), "sparse");
}

TEST_F(Sparse, OtherLeversWorkWithIt) {
  for (const Words& flags : {Words{"--micro-batch", "1", "--clip-norm", "1"},
                             Words{"--optimizer", "sgd", "--momentum", "0.9", "--accumulate", "2"},
                             Words{"--optimizer", "adamw8bit", "--frozen-weights", "int8"},
                             Words{"--save-activations", "int8", "--dropout", "0.2"},
                             Words{"--threads", "2", "--optimizer", "sgd", "--momentum", "0"}}) {
    const Output output = train(sparse(flags));
    EXPECT_EQ(output.exit_code, 0) << output.err;
  }
}

TEST_F(Sparse, TheSmallestBudgetItNamesIsMet) {
  Words command{TINYTL_PLAN, "--model",  model,       "--classes",      "3", "--batch-size",
                "4",         "--report", "plan.json", "--arena-budget", "1"};
  const Words flags = sparse();
  command.insert(command.end(), flags.begin(), flags.end());
  const Output refused = run(command);
  ASSERT_EQ(refused.exit_code, 4);
  const std::string bytes = number_behind(refused.err, "planned in is ");
  ASSERT_NE(bytes, "") << refused.err;
  *std::ranges::find(command, "1") = bytes;
  EXPECT_EQ(run(command).exit_code, 0);
  EXPECT_LE(json_of("plan.json").at("arena_bytes").get<size_t>(), std::stoul(bytes));
}

TEST_F(Sparse, AResumedRunEndsInTheSameBits) {
  ASSERT_EQ(train(sparse()).exit_code, 0);
  const Bytes whole = learnt_bytes(folder / "learnt.safetensors");
  ASSERT_EQ(train(sparse({"--max-steps", "3"})).exit_code, 0);
  const Output rest = train(sparse({"--resume"}));
  ASSERT_EQ(rest.exit_code, 0) << rest.err;
  EXPECT_TRUE(learnt_bytes(folder / "learnt.safetensors") == whole);

  ASSERT_EQ(train(sparse({"--max-steps", "3"})).exit_code, 0);
  write_scheme(R"({"train": [{"last_biases": 5}, {"conv": 4, "channels": 0.25}]})");
  EXPECT_THAT(train(sparse({"--resume"})), fails_with(3, {"other options"}));
}

TEST_F(Sparse, WhatWasLearntIsEvaluatedAndExported) {
  const Output output = train(sparse({"--export", "adapted.onnx", "--report", "report.json"}));
  ASSERT_EQ(output.exit_code, 0) << output.err;
  const auto top1 = [&](const Words& network) {
    Words command{TINYTL_EVAL, "--data", path("photos"), "--report", "eval.json"};
    command.insert(command.end(), network.begin(), network.end());
    const Output evaluated = run(command);
    EXPECT_EQ(evaluated.exit_code, 0) << evaluated.err;
    return json_of("eval.json");
  };
  const Json learnt = top1({"--model", model, "--learnt", "learnt.safetensors"});
  const Json exported = top1({"--model", "adapted.onnx"});
  EXPECT_EQ(learnt.at("top1"), exported.at("top1"));
}

TEST_F(Sparse, BothAccountingsStandInTheReport) {
  const Json authors = plan(sparse({"--accounting", "mcunetv3"}));
  EXPECT_EQ(authors.at("accounting"), "mcunetv3");
  EXPECT_GT(authors.at("accounting_bytes").get<int>(), 0);
  for (const char* update : {"last", "bias", "full"}) {
    const Json other = plan({"--update", update, "--accounting", "mcunetv3"});
    EXPECT_GT(other.at("accounting_bytes").get<int>(), 0) << update;
  }
  EXPECT_LT(plan({"--update", "last", "--accounting", "mcunetv3"}).at("accounting_bytes"),
            authors.at("accounting_bytes"));
  const Json batch = plan(sparse({"--accounting", "mcunetv3"}), "1");
  EXPECT_EQ(batch.at("accounting_bytes"), authors.at("accounting_bytes"));
  EXPECT_THAT(run({TINYTL_PLAN, "--model", model, "--update", "lite", "--accounting", "mcunetv3"}),
              fails_with(2, {"mcunetv3"}));
}

class Sparsify : public Sparse {
 protected:
  Words command(const std::string& name, const Words& flags) const {
    Words words{TINYTL_SPARSIFY, name, "--model", model};
    words.insert(words.end(), flags.begin(), flags.end());
    return words;
  }
};

TEST_F(Sparsify, ListsTheConvolutions) {
  const Output output = run(command("layers", {}));
  ASSERT_EQ(output.exit_code, 0) << output.err;
  EXPECT_THAT(output.out, AllOf(HasSubstr("number"), HasSubstr("always trains")));
}

TEST_F(Sparsify, SearchesWithinTheAuthorsBill) {
  for (const char* budget : {"2KB", "4KB", "20KB"}) {
    const Output output =
        run(command("search", {"--data", path("photos"), "--memory-budget", budget, "--accounting",
                               "mcunetv3", "--samples", "6"}));
    ASSERT_EQ(output.exit_code, 0) << output.err;
    EXPECT_THAT(output.out, HasSubstr("tinytl-train --model"));
    const Json report = plan(sparse({"--accounting", "mcunetv3"}));
    EXPECT_LE(report.at("accounting_bytes").get<double>(), 1000 * std::stod(budget));
    EXPECT_EQ(xml_defect(text_of("scheme.svg")), "");
  }
}

TEST_F(Sparsify, SearchesWithinThePlannedMemory) {
  const auto bytes = [&](const char* update) {
    return plan({"--update", update, "--micro-batch", "1"})
        .at("training_memory_bytes")
        .get<size_t>();
  };
  const size_t budget = (bytes("last") + bytes("full")) / 2;
  const Output output =
      run(command("search", {"--data", path("photos"), "--memory-budget", std::to_string(budget),
                             "--samples", "6", "--batch-size", "4"}));
  ASSERT_EQ(output.exit_code, 0) << output.err;
  const Json planned = plan(sparse({"--micro-batch", "1"}));
  EXPECT_LE(planned.at("training_memory_bytes").get<size_t>(), budget);
  EXPECT_GT(planned.at("trainable_bytes"), plan({"--update", "last"}).at("trainable_bytes"));
  EXPECT_THAT(run(command("search", {"--data", path("photos"), "--memory-budget", "1KB"})),
              fails_with(4, {"the classifier alone takes"}));
}

TEST_F(Sparsify, AnalysesAndGoesOn) {
  const Words flags{
      "--data", path("photos"), "--out", "parts",    "--samples", "6",  "--full",       "--epochs",
      "1",      "--bias-step",  "4",     "--ratios", "0.5",       "--", "--batch-size", "4"};
  const Output first = run(command("analyse", flags));
  ASSERT_EQ(first.exit_code, 0) << first.err;
  for (const char* picture : {"parts/accuracy.svg", "parts/likelihood.svg"}) {
    EXPECT_EQ(xml_defect(text_of(picture)), "");
  }
  EXPECT_EQ(xml_defect(text_of("parts/fisher.svg")), "");
  const std::string table = text_of("parts/contributions.csv");
  const Output again = run(command("analyse", flags));
  ASSERT_EQ(again.exit_code, 0) << again.err;
  const std::string runs = number_behind(again.out, "tinytl-sparsify: ");
  ASSERT_NE(runs, "") << again.out;
  EXPECT_EQ(runs, number_behind(again.out, " runs, ")) << "nothing is trained twice";
  EXPECT_EQ(text_of("parts/contributions.csv"), table);

  const Output found =
      run(command("search", {"--classes", "3", "--contributions", "parts", "--memory-budget", "4KB",
                             "--accounting", "mcunetv3"}));
  ASSERT_EQ(found.exit_code, 0) << found.err;
  EXPECT_THAT(found.out, HasSubstr("likelihood, 13 of 46 parts measured"));
}

TEST_F(Sparsify, OptionsOfAnalyseAreThoseOfItsRuns) {
  const Output output =
      run(command("analyse", {"--data", path("photos"), "--out", "parts", "--samples", "6",
                              "--full", "--epochs", "1", "--bias-step", "100", "--ratios", "0.5",
                              "--batch-size", "4", "--squash", "--mean", "100,110,120"}));
  ASSERT_EQ(output.exit_code, 0) << output.err;
  const std::string table = text_of("parts/contributions.csv");
  EXPECT_THAT(table, HasSubstr("--batch-size 4"));
  EXPECT_THAT(table, HasSubstr("--squash"));
  EXPECT_THAT(table, HasSubstr("--mean 100 110 120"));
}

}  // namespace
}  // namespace tinytl

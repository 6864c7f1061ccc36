// What was learnt, used: tinytl-eval, tinytl-predict, the exported network.

#include <sstream>

#include "tests/cli/support.h"

namespace tinytl {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

Words lines_of(const std::string& text) {
  Words lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// The numbers before each " %".
std::vector<double> percentages(const std::string& line) {
  std::vector<double> result;
  std::istringstream in(line);
  std::string word, previous;
  while (in >> word) {
    if (word == "%") result.push_back(std::stod(previous));
    previous = word;
  }
  return result;
}

class AdaptedTest : public CliTest {
 protected:
  void SetUp() override {
    const Output output = train({"--epochs", "8", "--lr", "0.01", "--head-lr", "0.05", "--report",
                                 "report.json", "--export", "merged.onnx"});
    ASSERT_EQ(output.exit_code, 0) << output.err;
  }
  Json evaluate(Words command) const {
    command.insert(command.end(), {"--data", "photos", "--report", "eval.json"});
    const Output output = run(command);
    EXPECT_EQ(output.exit_code, 0) << output.err;
    return json_of("eval.json");
  }
  const Words images = {"photos/val/red/8.png", "photos/val/green/9.jpg", "photos/val/blue/10.jpg"};
};

TEST_F(AdaptedTest, EvaluationRepeatsTheAccuracyOfTraining) {
  const Json report = json_of("report.json");
  const Json result = evaluate({TINYTL_EVAL, "--model", model, "--learnt", "learnt.safetensors"});
  EXPECT_EQ(result.at("top1"), report.at("val_top1"));
  EXPECT_EQ(result.at("count"), 3 * kValPerClass);
  EXPECT_EQ(result.at("top5"), 1);
  EXPECT_NEAR(result.at("loss").get<double>(), report.at("val_loss").get<double>(), 1e-9);
  EXPECT_THAT(result.at("classes"), SizeIs(3));
  EXPECT_GT(result.at("top1").get<double>(), 0.5) << "it learnt something";
  const Json alone = evaluate(
      {TINYTL_EVAL, "--model", model, "--learnt", "learnt.safetensors", "--batch-size", "1"});
  EXPECT_EQ(alone.at("top1"), result.at("top1"));
  EXPECT_NEAR(alone.at("loss").get<double>(), result.at("loss").get<double>(), 1e-5);
  const Json all =
      evaluate({TINYTL_EVAL, "--model", model, "--learnt", "learnt.safetensors", "--split", "all"});
  EXPECT_EQ(all.at("count"), 3 * (kTrainPerClass + kValPerClass));
}

TEST_F(AdaptedTest, ExportedNetworkGivesTheSamePredictions) {
  const Json learnt = evaluate({TINYTL_EVAL, "--model", model, "--learnt", "learnt.safetensors"});
  const Json merged = evaluate({TINYTL_EVAL, "--model", "merged.onnx"});
  EXPECT_EQ(merged.at("top1"), learnt.at("top1"));
  EXPECT_NEAR(merged.at("loss").get<double>(), learnt.at("loss").get<double>(), 1e-5);

  // It is a network like any other, also one whose classifier is called as ours is.
  const Output again = train({"--model", "merged.onnx", "--new-head", "--save", "again"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  const Json twice = evaluate({TINYTL_EVAL, "--model", "merged.onnx", "--learnt", "again"});
  EXPECT_EQ(twice.at("count"), 3 * kValPerClass);
}

TEST_F(AdaptedTest, PredictionIsALineAnImage) {
  Words command = {TINYTL_PREDICT, "--model", model, "--learnt", "learnt.safetensors"};
  command.insert(command.end(), images.begin(), images.end());
  const Output output = run(command);
  EXPECT_EQ(output.exit_code, 0) << output.err;
  const Words lines = lines_of(output.out);
  ASSERT_THAT(lines, SizeIs(3));
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_THAT(lines[i], testing::StartsWith(images[i]));
    const std::vector<double> p = percentages(lines[i]);
    ASSERT_THAT(p, SizeIs(3));
    EXPECT_NEAR(p[0] + p[1] + p[2], 100, 0.2) << "rounded to a tenth each";
    EXPECT_GE(p[0], p[1]);
    EXPECT_GE(p[1], p[2]);
  }
  command.insert(command.end(), {"--top", "1"});
  const Output top = run(command);
  EXPECT_THAT(percentages(lines_of(top.out).at(0)), SizeIs(1));
}

TEST_F(AdaptedTest, DamagedImagesDoNotStopTheOthers) {
  write_file(folder / "bad.jpg", Bytes{0xff, 0xd8, 0xff, 0});
  const Output output = run({TINYTL_PREDICT, "--model", model, "--learnt", "learnt.safetensors",
                             "missing.jpg", images[0], "bad.jpg", "report.json", images[1]});
  EXPECT_EQ(output.exit_code, 3);
  EXPECT_THAT(lines_of(output.out), SizeIs(2));
  const Words errors = lines_of(output.err);
  ASSERT_THAT(errors, SizeIs(3));
  EXPECT_THAT(errors[0], HasSubstr("missing.jpg"));
  EXPECT_THAT(errors[1], HasSubstr("bad.jpg"));
  EXPECT_THAT(errors[2], HasSubstr("report.json"));
}

TEST_F(AdaptedTest, WithoutLearntTheNetworkIsUsedAsItIs) {
  const Output output = run({TINYTL_PREDICT, "--model", model, images[0]});
  EXPECT_EQ(output.exit_code, 0) << output.err;
  EXPECT_THAT(output.out, HasSubstr("class "));
}

// A classifier that is a 1x1 convolution ends in [N,classes,1,1].
TEST_F(AdaptedTest, ConvolutionAsClassifierIsKept) {
  onnx::ModelProto network = empty_model({3, 8, 8});
  add_weights(network, "w1", {6, 3, 3, 3});
  add_weights(network, "b1", {6});
  add_weights(network, "w2", {3, 6, 1, 1});
  add_weights(network, "b2", {3});
  add_node(network, "Conv", {"x", "w1", "b1"}, "h");
  add_node(network, "Relu", {"h"}, "r");
  add_node(network, "GlobalAveragePool", {"r"}, "p");
  add_node(network, "Conv", {"p", "w2", "b2"}, "y");
  write_model(folder / "conv.onnx", network);
  const Output output = train({"--model", "conv.onnx", "--save", "conv", "--export", "conv2.onnx"});
  ASSERT_EQ(output.exit_code, 0) << output.err;
  EXPECT_THAT(output.out, HasSubstr("kept (3 classes)"));
  const Json learnt = evaluate({TINYTL_EVAL, "--model", "conv.onnx", "--learnt", "conv"});
  const Json merged = evaluate({TINYTL_EVAL, "--model", "conv2.onnx"});
  EXPECT_NEAR(merged.at("loss").get<double>(), learnt.at("loss").get<double>(), 1e-5);
  EXPECT_EQ(evaluate({TINYTL_EVAL, "--model", "conv.onnx"}).at("count"), 3 * kValPerClass);
}

TEST_F(AdaptedTest, AutoencodersOfNumbersAndOfImagesTrain) {
  onnx::ModelProto images_in = empty_model({3, 8, 8});
  add_weights(images_in, "w1", {4, 3, 1, 1});
  add_weights(images_in, "b1", {4});
  add_weights(images_in, "w2", {3, 4, 1, 1});
  add_weights(images_in, "b2", {3});
  add_node(images_in, "Conv", {"x", "w1", "b1"}, "h");
  add_node(images_in, "Conv", {"h", "w2", "b2"}, "y");
  write_model(folder / "images.onnx", images_in);

  onnx::ModelProto numbers_in = empty_model({5});
  add_weights(numbers_in, "w1", {5, 3});
  add_weights(numbers_in, "b1", {3});
  add_weights(numbers_in, "w2", {3, 5});
  add_weights(numbers_in, "b2", {5});
  add_node(numbers_in, "Gemm", {"x", "w1", "b1"}, "h");
  add_node(numbers_in, "Gemm", {"h", "w2", "b2"}, "y");
  write_model(folder / "numbers.onnx", numbers_in);
  std::vector<float> values;
  for (int i = 0; i < 200; ++i) values.push_back(static_cast<float>(i / 5 % 7 - 3) * 0.2f);
  write_file(folder / "numbers" / "train-images-idx2-float",
             idx_bytes(0x0d, {40, 5}, big_endian(values)));

  for (const std::string kind : {"images", "numbers"}) {
    const std::string data = kind == "images" ? "photos" : kind;
    Words command =
        train_command({"--model", kind + ".onnx", "--data", data, "--loss", "mse", "--update",
                       "full", "--epochs", "20", "--lr", "0.01", "--no-augment", "--report",
                       "report.json", "--save", kind + ".learnt"});
    std::erase(command, "--freeze-weights");
    const Output output = run(command);
    ASSERT_EQ(output.exit_code, 0) << output.err;
    const Json epochs = json_of("report.json").at("epochs");
    EXPECT_LT(epochs.back().at("loss").get<double>(), 0.5 * epochs.front().at("loss").get<double>())
        << kind;
    EXPECT_EQ(json_of("report.json").at("classes"), 0);
    EXPECT_THAT(
        run({TINYTL_PREDICT, "--model", kind + ".onnx", "--learnt", kind + ".learnt", images[0]}),
        fails_with(3, {"without classes"}));
  }
}

// A convolution without bias, batch norm, and a classifier of three.
onnx::ModelProto with_batch_norm() {
  onnx::ModelProto network = empty_model({3, 16, 16});
  add_weights(network, "w", {16, 3, 3, 3});
  for (const char* name : {"gamma", "beta", "mean"}) add_weights(network, name, {16});
  add_weights(network, "variance", {16});
  auto& initializers = *network.mutable_graph()->mutable_initializer();
  for (float& v : *initializers.rbegin()->mutable_float_data()) v = 1.0f;
  add_weights(network, "fc", {16, 3});
  add_node(network, "Conv", {"x", "w"}, "h");
  add_node(network, "BatchNormalization", {"h", "gamma", "beta", "mean", "variance"}, "n");
  add_node(network, "Relu", {"n"}, "r");
  add_node(network, "GlobalAveragePool", {"r"}, "p");
  add_node(network, "Flatten", {"p"}, "f");
  add_node(network, "MatMul", {"f", "fc"}, "y");
  return network;
}

// Narrowed in training, narrowed again from the same model file wherever it is used.
TEST_F(AdaptedTest, WidthOfTheRunIsThatOfItsFile) {
  for (const Words& more :
       {Words{}, Words{"--update", "lite+bias", "--frozen-weights", "int8", "--micro-batch", "1"},
        Words{"--memory-budget", "300kB"}}) {
    SCOPED_TRACE(more.empty() ? "bias" : more[1]);
    Words flags{"--width",  "0.5",         "--save",   "narrow",
                "--report", "narrow.json", "--export", "narrow.onnx"};
    flags.insert(flags.end(), more.begin(), more.end());
    const Output output = train(flags);
    ASSERT_EQ(output.exit_code, 0) << output.err;
    const Json report = json_of("narrow.json");
    EXPECT_EQ(report.at("width"), 0.5);
    const Json result = evaluate({TINYTL_EVAL, "--model", model, "--learnt", "narrow"});
    EXPECT_EQ(result.at("top1"), report.at("val_top1"));
    EXPECT_NEAR(result.at("loss").get<double>(), report.at("val_loss").get<double>(), 1e-6);
    const Json merged = evaluate({TINYTL_EVAL, "--model", "narrow.onnx"});
    EXPECT_NEAR(merged.at("loss").get<double>(), result.at("loss").get<double>(), 1e-5);
  }
  ASSERT_EQ(train({"--report", "whole.json"}).exit_code, 0);
  EXPECT_EQ(json_of("whole.json").at("width"), 1);
  EXPECT_LT(json_of("narrow.json").at("frozen_bytes"), json_of("whole.json").at("frozen_bytes"));
}

TEST_F(AdaptedTest, WidthIsRefusedWhereItMakesNoSense) {
  write_model(folder / "norm.onnx", with_batch_norm());
  EXPECT_THAT(train({"--model", "norm.onnx", "--width", "0.5"}),
              fails_with(3, {"no inverted residual block", "--width"}));
  for (const char* width : {"0", "1.5", "-1", "nan", "half"}) {
    EXPECT_EQ(train({"--width", width}).exit_code, 2) << width;
  }
}

// What was learnt with group norms is used with group norms.
TEST_F(AdaptedTest, NormsOfTheRunAreThoseOfItsFile) {
  write_model(folder / "norm.onnx", with_batch_norm());
  const Output output = train({"--model", "norm.onnx", "--norm", "group", "--save", "group.learnt",
                               "--report", "group.json", "--export", "group.onnx"});
  ASSERT_EQ(output.exit_code, 0) << output.err;
  const Json result = evaluate({TINYTL_EVAL, "--model", "norm.onnx", "--learnt", "group.learnt"});
  EXPECT_EQ(result.at("top1"), json_of("group.json").at("val_top1"));
  EXPECT_NEAR(result.at("loss").get<double>(), json_of("group.json").at("val_loss").get<double>(),
              1e-6);
  const Json merged = evaluate({TINYTL_EVAL, "--model", "group.onnx"});
  EXPECT_NEAR(merged.at("loss").get<double>(), result.at("loss").get<double>(), 1e-5);

  EXPECT_THAT(train({"--norm", "group"}),
              fails_with(3, {"has no BatchNormalization node", "--norm folded"}));
}

class BatchNormTest : public CliTest {
 protected:
  void SetUp() override { write_model(folder / "norm.onnx", with_batch_norm()); }
  // Without --freeze-weights, which contradicts --update full.
  Words batch(Words flags) const {
    flags.insert(flags.end(), {"--model", "norm.onnx", "--norm", "batch"});
    if (std::ranges::find(flags, "--update") == flags.end()) {
      flags.insert(flags.end(), {"--update", "full"});
    }
    Words command = train_command(flags);
    std::erase(command, "--freeze-weights");
    return command;
  }
};

TEST_F(BatchNormTest, WhatWasLearntIncludesTheStatistics) {
  for (const std::string update : {"full", "norm"}) {
    SCOPED_TRACE(update);
    const Output output = run(batch({"--update", update, "--epochs", "4", "--save", "learnt",
                                     "--report", "train.json", "--export", "merged.onnx"}));
    ASSERT_EQ(output.exit_code, 0) << output.err;
    EXPECT_THAT(text_of("learnt"),
                testing::AllOf(HasSubstr("\"mean\""), HasSubstr("\"variance\"")));
    for (const Words& network :
         {Words{"--model", "norm.onnx", "--learnt", "learnt"}, Words{"--model", "merged.onnx"}}) {
      Words command = {TINYTL_EVAL, "--data", "photos", "--report", "eval.json"};
      command.insert(command.end(), network.begin(), network.end());
      const Output evaluation = run(command);
      ASSERT_EQ(evaluation.exit_code, 0) << evaluation.err;
      EXPECT_EQ(json_of("eval.json").at("top1"), json_of("train.json").at("val_top1"));
      EXPECT_NEAR(json_of("eval.json").at("loss").get<double>(),
                  json_of("train.json").at("val_loss").get<double>(), 1e-5);
    }
  }
}

TEST_F(BatchNormTest, ResumedRunEndsInTheSameBits) {
  const Words flags{"--keep", "last", "--lr", "0.01"};
  const auto with = [&](Words more) {
    more.insert(more.end(), flags.begin(), flags.end());
    return run(batch(more));
  };
  ASSERT_EQ(with({"--save", "whole"}).exit_code, 0);
  ASSERT_EQ(with({"--save", "parts", "--max-steps", "4"}).exit_code, 0);
  const Bytes before = learnt_bytes(folder / "parts.checkpoint");
  ASSERT_EQ(with({"--save", "parts", "--resume"}).exit_code, 0);
  EXPECT_TRUE(learnt_bytes(folder / "parts") == learnt_bytes(folder / "whole"));
  EXPECT_TRUE(learnt_bytes(folder / "parts.checkpoint") ==
              learnt_bytes(folder / "whole.checkpoint"));
  EXPECT_FALSE(learnt_bytes(folder / "parts.checkpoint") == before) << "it went on";
}

TEST_F(BatchNormTest, TrialsOfRatesLeaveNoTraceInTheStatistics) {
  const Output chosen =
      run(batch({"--keep", "last", "--save", "chosen", "--lr", "auto", "--report", "r.json"}));
  ASSERT_EQ(chosen.exit_code, 0) << chosen.err;
  const Json report = json_of("r.json");
  const Output given =
      run(batch({"--keep", "last", "--save", "given", "--lr", report.at("learning_rate").dump(),
                 "--head-lr", report.at("head_learning_rate").dump()}));
  ASSERT_EQ(given.exit_code, 0) << given.err;
  EXPECT_TRUE(learnt_bytes(folder / "chosen") == learnt_bytes(folder / "given"));
}

TEST_F(BatchNormTest, NeedsABatchAndTrainedNorms) {
  EXPECT_THAT(run(batch({"--micro-batch", "2"})),
              fails_with(3, {"norm.onnx", "BatchNormalization_n", "(BatchNorm)", "mixes"}));
  EXPECT_EQ(run(batch({"--micro-batch", "4"})).exit_code, 0);
  for (const char* update : {"last", "bias", "lite", "lite+bias"}) {
    const Output output = run(batch({"--update", update}));
    EXPECT_EQ(output.exit_code, 2);
    EXPECT_THAT(output.err, HasSubstr("--norm batch needs --update full or norm"));
  }
  EXPECT_THAT(train({"--norm", "batch", "--update", "norm"}),
              fails_with(3, {"has no BatchNormalization node", "--norm folded"}));
}

}  // namespace
}  // namespace tinytl

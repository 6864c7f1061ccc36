// Quantized files as networks of 8-bit integers, from the command line.

#include <cstdlib>

#include "tests/cli/support.h"

namespace tinytl {
namespace {

class Integers : public CliTest {};

TEST_F(Integers, FloatFileIsRefusedWithAWayToMendIt) {
  EXPECT_THAT(train({"--precision", "int8"}),
              fails_with(3, {"QuantizeLinear", "quantize it first", "--precision int8"}));
}

TEST_F(Integers, GradientsOfEightBitsAreForIntegers) {
  EXPECT_THAT(train({"--gradients", "int8"}),
              fails_with(2, {"--gradients int8", "--precision int8"}));
}

// mbv2-w0.35 on the small photographs: two epochs, and what becomes of them.
class RealIntegers : public CliTest {
 protected:
  void SetUp() override {
    const char* data = std::getenv("TINYTL_DATA");
    if (data == nullptr) GTEST_SKIP() << "TINYTL_DATA is not set: no quantized network";
    quantized_ = std::string(data) + "/models/mbv2-w0.35_imagenet128_qdq_int8.onnx";
  }
  Output train_integers(const Words& flags) const {
    Words command{TINYTL_TRAIN, "--model",  quantized_, "--data",       "photos", "--precision",
                  "int8",       "--update", "full",     "--lr",         "1e-3",   "--head-lr",
                  "1e-2",       "--epochs", "2",        "--batch-size", "4"};
    command.insert(command.end(), flags.begin(), flags.end());
    return run(command);
  }
  std::string quantized_;
};

TEST_F(RealIntegers, ResumedRunEndsInTheSameBits) {
  ASSERT_EQ(train_integers({"--save", "whole"}).exit_code, 0);
  ASSERT_EQ(train_integers({"--save", "parts", "--max-steps", "3"}).exit_code, 0);
  ASSERT_EQ(train_integers({"--save", "parts", "--resume"}).exit_code, 0);
  EXPECT_EQ(learnt_bytes(folder / "whole"), learnt_bytes(folder / "parts"));
}

TEST_F(RealIntegers, LearntFileAndExportScoreTheSame) {
  ASSERT_EQ(train_integers({"--save", "learnt", "--export", "adapted.onnx"}).exit_code, 0);
  const auto loss_of = [&](const Words& words) {
    Words command{TINYTL_EVAL, "--data", "photos", "--report", "eval.json"};
    command.insert(command.end(), words.begin(), words.end());
    const Output output = run(command);
    EXPECT_EQ(output.exit_code, 0) << output.err;
    return json_of("eval.json").at("loss").get<double>();
  };
  const double learnt = loss_of({"--model", quantized_, "--learnt", "learnt"});
  const double exported = loss_of({"--model", "adapted.onnx", "--precision", "int8"});
  EXPECT_EQ(learnt, exported);
}

TEST_F(RealIntegers, GradientsOfEightBitsLearnInASmallerArenaAndResumeToTheSameBits) {
  const Words flags{"--gradients", "int8", "--micro-batch", "4", "--report", "run.json"};
  const auto with = [&](Words more) {
    more.insert(more.end(), flags.begin(), flags.end());
    return train_integers(more);
  };
  ASSERT_EQ(with({"--save", "whole"}).exit_code, 0);
  const auto coded = json_of("run.json");
  ASSERT_EQ(with({"--save", "parts", "--max-steps", "3"}).exit_code, 0);
  ASSERT_EQ(with({"--save", "parts", "--resume"}).exit_code, 0);
  EXPECT_EQ(learnt_bytes(folder / "whole"), learnt_bytes(folder / "parts"));
  ASSERT_EQ(with({"--save", "threads", "--threads", "2"}).exit_code, 0);
  EXPECT_EQ(learnt_bytes(folder / "whole"), learnt_bytes(folder / "threads"));
  ASSERT_EQ(train_integers({"--save", "floats", "--micro-batch", "4", "--report", "floats.json"})
                .exit_code,
            0);
  const auto floats = json_of("floats.json");
  EXPECT_LT(coded.at("arena_bytes"), floats.at("arena_bytes"));
  const double loss = coded.at("epochs").back().at("loss"),
               want = floats.at("epochs").back().at("loss");
  EXPECT_NEAR(loss, want, 0.1 * want);
  EXPECT_THAT(train_integers({"--save", "parts", "--micro-batch", "4", "--resume"}),
              fails_with(3, {"--gradients"}));
}

TEST_F(RealIntegers, AnotherPrecisionIsAnotherRun) {
  ASSERT_EQ(train_integers({"--save", "a", "--max-steps", "1"}).exit_code, 0);
  EXPECT_THAT(
      train_integers({"--save", "a", "--max-steps", "1", "--requantize", "fixed", "--resume"}),
      fails_with(3, {"--requantize"}));
}

}  // namespace
}  // namespace tinytl

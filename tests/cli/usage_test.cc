// How the commands are called: help, wrong usage, options that contradict each other.

#include "tests/cli/support.h"

namespace tinytl {
namespace {

using testing::AllOf;
using testing::Field;
using testing::HasSubstr;

class Usage : public CliTest {};

// Wrong usage: exit code 2 and the reason first, before the hint at --help.
testing::Matcher<const Output&> is_wrong(const std::string& text) {
  return AllOf(Field("exit_code", &Output::exit_code, 2),
               Field("err", &Output::err, AllOf(HasSubstr(text), HasSubstr("--help"))),
               Field("out", &Output::out, ""));
}

TEST_F(Usage, HelpShowsExamples) {
  for (const char* command : {TINYTL_TRAIN, TINYTL_EVAL, TINYTL_PREDICT, TINYTL_PLAN}) {
    for (const char* flag : {"--help", "-h"}) {
      const Output output = run({command, flag});
      EXPECT_EQ(output.exit_code, 0);
      EXPECT_THAT(output.out, AllOf(HasSubstr("Examples:"), HasSubstr("--model")));
      EXPECT_EQ(output.err, "");
    }
  }
}

TEST_F(Usage, ModelIsRequired) {
  for (const char* command : {TINYTL_TRAIN, TINYTL_EVAL, TINYTL_PREDICT, TINYTL_PLAN}) {
    EXPECT_THAT(run({command}), is_wrong("required"));
  }
  EXPECT_THAT(run({TINYTL_TRAIN, "--model", model}), is_wrong("--data is required"));
  EXPECT_THAT(run({TINYTL_EVAL, "--model", model}), is_wrong("--data is required"));
  EXPECT_THAT(run({TINYTL_PREDICT, "--model", model}), is_wrong("images is required"));
}

TEST_F(Usage, UnknownOptionIsNamed) {
  EXPECT_THAT(train({"--bogus"}), is_wrong("--bogus"));
  EXPECT_THAT(run({TINYTL_PLAN, "--model", model, "--bogus=1"}), is_wrong("--bogus"));
}

TEST_F(Usage, ContradictionsAreRefused) {
  EXPECT_THAT(train({"--freeze-weights", "--update", "full"}), is_wrong("contradict"));
  EXPECT_THAT(train({"--nesterov"}), is_wrong("--optimizer sgd"));
  EXPECT_THAT(train({"--optimizer", "sgd", "--momentum", "0", "--nesterov"}),
              is_wrong("--momentum above 0"));
  for (const Words& flags : {Words{"--optimizer", "adam"}, Words{"--momentum", "0.9"},
                             Words{"--weight-decay", "1e-4"}}) {
    Words integers{"--precision", "int8"};
    integers.insert(integers.end(), flags.begin(), flags.end());
    EXPECT_THAT(train(integers), is_wrong("--optimizer sgd --momentum 0"));
  }
  EXPECT_THAT(train({"--save", "a", "--checkpoint", "a"}), is_wrong("files of their own"));
  EXPECT_THAT(train({"--save", ""}), is_wrong("--save"));
  const Words synthetic{TINYTL_TRAIN, "--model", model, "--synthetic"};
  for (const char* flag : {"--resume", "--export=x.onnx", "--save=x", "--data=photos"}) {
    Words command = synthetic;
    command.push_back(flag);
    EXPECT_THAT(run(command), is_wrong("--synthetic")) << flag;
  }
  EXPECT_THAT(train({"--classes", "3"}), is_wrong("--synthetic"));
  EXPECT_THAT(train({"--warmup-epochs", "1e30"}), is_wrong("--warmup-epochs"));
  EXPECT_THAT(run({TINYTL_EVAL, "--model", model, "--data", "photos", "--learnt", "x", "--squash"}),
              is_wrong("--learnt"));
  EXPECT_THAT(run({TINYTL_PREDICT, "--model", model, "--flip", "0", "photos/val/red/8.png"}),
              is_wrong("--flip"));
}

TEST_F(Usage, ImpossibleValuesAreRefused) {
  const Words cases[] = {
      {"--update", ""},
      {"--loss", "hinge"},
      {"--epochs", "0"},
      {"--epochs", "many"},
      {"--batch-size", "0"},
      {"--batch-size", "-8"},
      {"--seed", "-1"},
      {"--seed", "1.5"},
      {"--lr", "fast"},
      {"--lr", "0"},
      {"--lr", "-0.1"},
      {"--lr", "0.1x"},
      {"--lr", "nan"},
      {"--head-lr", "0"},
      {"--dropout", "1"},
      {"--flip", "2"},
      {"--mean", "1,2"},
      {"--std", "0"},
      {"--std", "nan"},
      {"--max-steps", "-1"},
      {"--threads", "0"},
      {"--accumulate", "0"},
      {"--label-smoothing", "1"},
      {"--seed", "99999999999999999999999"},
      {"--keep", "all"},
      {"--schedule", "fast"},
      {"--optimizer", "lion"},
      {"--clip-norm", "nan"},
      {"--flip", "nan"},
      {"--dropout", "nan"},
      {"--mean", "nan"},
      {"--std", "inf"},
      {"--head-lr", "inf"},
      {"--weight-decay", "-1"},
      {"--crop-area", "nan"},
      {"--warmup-epochs", "nan"},
      {"--momentum", "1"},
      {"--classes", "1"},
  };
  for (const Words& flags : cases) {
    EXPECT_THAT(train(flags), Field("exit_code", &Output::exit_code, 2))
        << flags[0] << " " << flags[1];
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "learnt.safetensors"));
}

TEST_F(Usage, NoFileIsWrittenOverAnother) {
  std::filesystem::copy(model, folder / "net.onnx");
  const std::string before = text_of("net.onnx");
  const Words base{TINYTL_TRAIN, "--model", "net.onnx", "--data", "photos"};
  const Words cases[] = {
      {"--save", "net.onnx"},           {"--save", "./photos/../net.onnx"},
      {"--export", "net.onnx"},         {"--report", "net.onnx"},
      {"--save", "a", "--report", "a"}, {"--save", "a", "--export", "a.checkpoint"}};
  for (const Words& flags : cases) {
    Words command = base;
    command.insert(command.end(), flags.begin(), flags.end());
    EXPECT_THAT(run(command), is_wrong("files of their own"));
  }
  EXPECT_EQ(text_of("net.onnx"), before);
}

}  // namespace
}  // namespace tinytl

// Bad input of every kind: exit code 3 and one line that names what, where and how to mend it.

#include "tests/cli/support.h"

namespace tinytl {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::Field;
using testing::HasSubstr;

class Errors : public CliTest {
 protected:
  // What every command that reads a model says of this one.
  void expect_refused_everywhere(const std::string& file, const Words& texts) const {
    EXPECT_THAT(train({"--model", file}), fails_with(3, texts));
    EXPECT_THAT(run({TINYTL_PLAN, "--model", file}), fails_with(3, texts));
    EXPECT_THAT(run({TINYTL_EVAL, "--model", file, "--data", "photos"}), fails_with(3, texts));
    EXPECT_THAT(run({TINYTL_PREDICT, "--model", file, "photos/val/red/8.png"}),
                fails_with(3, texts));
  }
};

TEST_F(Errors, ModelFiles) {
  expect_refused_everywhere("missing.onnx", {"missing.onnx"});
  write_file(folder / "text.onnx", Bytes{'h', 'e', 'l', 'l', 'o'});
  expect_refused_everywhere("text.onnx", {"text.onnx"});
  write_file(folder / "empty.onnx", {});
  expect_refused_everywhere("empty.onnx", {"empty.onnx"});
  expect_refused_everywhere("photos", {"photos"});
  Bytes whole = read_file(model);
  for (const size_t bytes : {size_t{10}, whole.size() / 2, whole.size() - 1}) {
    write_file(folder / "cut.onnx",
               Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(bytes)));
    expect_refused_everywhere("cut.onnx", {"cut.onnx"});
  }
}

TEST_F(Errors, UnsupportedOperatorsAreNamedAllAtOnce) {
  onnx::ModelProto bad = empty_model({3, 8, 8});
  add_node(bad, "Det", {"x"}, "a");
  add_node(bad, "NonZero", {"x"}, "b");
  add_node(bad, "Relu", {"x"}, "y");
  write_model(folder / "bad.onnx", bad);
  expect_refused_everywhere("bad.onnx", {"bad.onnx", "Det_a", "NonZero_b"});
}

TEST_F(Errors, NetworkThatDoesNotFitTheData) {
  onnx::ModelProto two = empty_model({2, 8, 8});
  add_weights(two, "w", {4, 2, 3, 3});
  add_node(two, "Conv", {"x", "w"}, "h");
  add_node(two, "GlobalAveragePool", {"h"}, "p");
  add_node(two, "Flatten", {"p"}, "y");
  write_model(folder / "two.onnx", two);
  EXPECT_THAT(train({"--model", "two.onnx"}), fails_with(3, {"1 or 3 channels"}));
  EXPECT_THAT(run({TINYTL_PREDICT, "--model", "two.onnx", "photos/val/red/8.png"}),
              fails_with(3, {"1 or 3 channels"}));

  write_file(folder / "floats" / "train-images-idx2-float",
             idx_bytes(0x0d, {12, 5}, big_endian(std::vector<float>(60, 0.5f))));
  Bytes labels;
  for (uint8_t i = 0; i < 12; ++i) labels.push_back(i % 2);
  write_file(folder / "floats" / "train-labels-idx1-ubyte", idx_bytes(0x08, {12}, labels));
  EXPECT_THAT(train({"--data", "floats"}), fails_with(3, {"5 numbers", "768"}));

  // Its output cannot be compared with its input.
  EXPECT_THAT(train({"--loss", "mse"}), fails_with(3, {"reproduces its input"}));
}

TEST_F(Errors, DropoutNeedsAClassifier) {
  onnx::ModelProto network = empty_model({3, 8, 8});
  add_weights(network, "w", {3, 3, 3, 3});
  add_node(network, "Conv", {"x", "w"}, "y").add_attribute()->set_name("auto_pad");
  onnx::AttributeProto& pad = *network.mutable_graph()->mutable_node(0)->mutable_attribute(0);
  pad.set_type(onnx::AttributeProto::STRING);
  pad.set_s("SAME_UPPER");
  write_model(folder / "conv.onnx", network);
  EXPECT_THAT(train({"--model", "conv.onnx", "--loss", "mse", "--update", "full", "--dropout",
                     "0.2", "--freeze-weights=false"}),
              fails_with(3, {"--dropout"}));
}

TEST_F(Errors, AccumulationLongerThanTheRun) {
  EXPECT_THAT(train({"--accumulate", "13"}), fails_with(3, {"--accumulate 13", "12 steps"}));
  EXPECT_EQ(train({"--accumulate", "12"}).exit_code, 0);
}

TEST_F(Errors, HeadThatIsNoClassifier) {
  EXPECT_THAT(train({"--head", "nothing"}), fails_with(3, {"--head \"nothing\""}));
}

TEST_F(Errors, DataFolders) {
  EXPECT_THAT(train({"--data", "nowhere"}), fails_with(3, {"nowhere", "no such folder"}));
  fs::create_directory(folder / "none");
  EXPECT_THAT(train({"--data", "none"}), fails_with(3, {"none", "class"}));
  fs::create_directories(folder / "photos" / "train" / "violet");
  EXPECT_THAT(train(), fails_with(3, {"violet", "empty"}));
  fs::remove(folder / "photos" / "train" / "violet");
  EXPECT_THAT(train({"--only", "red"}), fails_with(3, {"only one class", "red"}));
  EXPECT_THAT(train({"--only", "red,pink"}), fails_with(3, {"pink"}));
  EXPECT_THAT(train({"--batch-size", "64"}), fails_with(3, {"24", "--batch-size"}));
  write_class(folder / "one" / "train", "a", 4);
  EXPECT_THAT(train({"--data", "one"}), fails_with(3, {"only one class"}));
}

TEST_F(Errors, DamagedImagesAreCountedAndNamed) {
  Bytes cut = read_file(folder / "photos" / "train" / "red" / "1.jpg");
  cut.resize(cut.size() / 3);
  write_file(folder / "photos" / "train" / "red" / "1.jpg", cut);
  write_file(folder / "photos" / "val" / "blue" / "9.jpg", Bytes{'x'});
  const Output output = train();
  EXPECT_EQ(output.exit_code, 0);
  EXPECT_THAT(output.out, AllOf(HasSubstr("2 damaged images"), HasSubstr("train/red/1.jpg"),
                                HasSubstr("val/blue/9.jpg")));
  EXPECT_THAT(train({"--strict"}), fails_with(3, {".jpg"}));
  EXPECT_THAT(run({TINYTL_EVAL, "--model", model, "--data", "photos", "--strict"}),
              fails_with(3, {"val/blue/9.jpg"}));
}

TEST_F(Errors, PlacesThatCannotBeWritten) {
  for (const char* flag : {"--save", "--checkpoint", "--report", "--export"}) {
    for (const std::string place : {"no/such/folder/file", "photos"}) {
      const Output output = train({flag, place});
      EXPECT_THAT(output, fails_with(3, {place})) << flag;
      EXPECT_EQ(output.out, "") << "before anything is loaded";
    }
  }
}

TEST_F(Errors, FullDiskLeavesTheOldFiles) {
  ASSERT_EQ(train().exit_code, 0);
  const Bytes learnt = read_file(folder / "learnt.safetensors");
  Words command = train_command({"--update", "full", "--epochs", "3"});
  std::erase(command, "--freeze-weights");
  EXPECT_THAT(run(command, /*file_bytes_limit=*/4000),
              fails_with(3, {"learnt.safetensors: cannot be written", "free space"}));
  EXPECT_EQ(read_file(folder / "learnt.safetensors"), learnt);
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    EXPECT_THAT(entry.path().string(), testing::Not(HasSubstr(".tmp")));
  }
  fs::create_symlink("/dev/full", folder / "full");
  EXPECT_THAT(train({"--report", "full"}), fails_with(3, {"full: cannot be written"}));
}

TEST_F(Errors, Checkpoints) {
  EXPECT_THAT(train({"--resume"}),
              fails_with(3, {"learnt.safetensors.checkpoint", "no such file"}));
  ASSERT_EQ(train().exit_code, 0);
  EXPECT_THAT(train({"--resume", "--seed", "3"}), fails_with(3, {"--seed"}));
  EXPECT_THAT(train({"--resume", "--lr", "0.5"}), fails_with(3, {"--lr"}));
  EXPECT_THAT(train({"--resume", "--update", "last"}), fails_with(3, {"update"}));
  EXPECT_THAT(train({"--resume", "--model", std::string(TINYTL_GOLDEN) + "/resnet_small.onnx"}),
              fails_with(3, {"another network", "--model"}));
  fs::copy_file(folder / "learnt.safetensors", folder / "copy");
  EXPECT_THAT(train({"--resume", "--checkpoint", "copy"}), fails_with(3, {"not a checkpoint"}));
  Bytes cut = read_file(folder / "learnt.safetensors.checkpoint");
  cut.resize(cut.size() - 5);
  write_file(folder / "learnt.safetensors.checkpoint", cut);
  EXPECT_THAT(train({"--resume"}), fails_with(3, {"learnt.safetensors.checkpoint"}));
}

TEST_F(Errors, LearntFilesOfAnotherNetwork) {
  ASSERT_EQ(train().exit_code, 0);
  const std::string other = std::string(TINYTL_GOLDEN) + "/resnet_small.onnx";
  EXPECT_THAT(
      run({TINYTL_EVAL, "--model", other, "--learnt", "learnt.safetensors", "--data", "photos"}),
      fails_with(3, {"another network"}));
  EXPECT_THAT(run({TINYTL_PREDICT, "--model", other, "--learnt", "learnt.safetensors",
                   "photos/val/red/8.png"}),
              fails_with(3, {"another network"}));
  EXPECT_THAT(run({TINYTL_EVAL, "--model", model, "--learnt", model, "--data", "photos"}),
              fails_with(3, {"not a safetensors file"}));
  EXPECT_THAT(run({TINYTL_EVAL, "--model", model, "--learnt", "learnt.safetensors.checkpoint",
                   "--data", "photos"}),
              fails_with(3, {"is a checkpoint", "--save"}));
  fs::rename(folder / "photos" / "val" / "red", folder / "photos" / "val" / "rose");
  fs::rename(folder / "photos" / "train" / "red", folder / "photos" / "train" / "rose");
  EXPECT_THAT(
      run({TINYTL_EVAL, "--model", model, "--learnt", "learnt.safetensors", "--data", "photos"}),
      fails_with(3, {"classes"}));
}

TEST_F(Errors, LossThatIsNoNumberKeepsTheLastGoodState) {
  ASSERT_EQ(train().exit_code, 0);
  const Bytes learnt = read_file(folder / "learnt.safetensors");
  EXPECT_THAT(train({"--optimizer", "sgd", "--lr", "1e38", "--head-lr", "1e38"}),
              fails_with(3, {"not a number", "no epoch was finished", "try lower --lr"}));
  EXPECT_EQ(read_file(folder / "learnt.safetensors"), learnt);
}

TEST_F(Errors, EvaluationWithoutLabels) {
  write_file(folder / "floats" / "val-images-idx4-float",
             idx_bytes(0x0d, {4, 16, 16, 3}, big_endian(std::vector<float>(4 * 768, 0.5f))));
  write_file(folder / "floats" / "train-images-idx4-float",
             idx_bytes(0x0d, {4, 16, 16, 3}, big_endian(std::vector<float>(4 * 768, 0.5f))));
  EXPECT_THAT(run({TINYTL_EVAL, "--model", model, "--data", "floats"}),
              fails_with(3, {"no labels"}));
  EXPECT_THAT(train({"--data", "floats"}), fails_with(3, {"no labels", "--loss mse"}));
}

}  // namespace
}  // namespace tinytl

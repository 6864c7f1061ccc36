// Files that are not models, models we do not support, and damaged ones.

#include <gmock/gmock.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "engine/onnx/import.h"
#include "engine/onnx/slim.h"
#include "tests/onnx/model_builder.h"

namespace tinytl {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// A small network of many operators.
ModelBuilder network() {
  ModelBuilder m;
  m.input("x", {-1, 2, 6, 6})
      .weights("w", {4, 2, 3, 3})
      .weights("b", {4})
      .weights("dw", {4, 1, 3, 3});
  m.numbers("gamma", {4}, {1, 2, 3, 4})
      .integers("shape", {0, -1})
      .integers("pads", {0, 0, 1, 1, 0, 0, 1, 1});
  m.weights("fc", {3, 16}).numbers("six", {}, {6}).numbers("zero", {}, {0});
  set(m.node("Conv", {"x", "w", "b"}, "conv"), "pads", {1, 1, 1, 1});
  m.node("BatchNormalization", {"conv", "gamma", "b", "b", "gamma"}, "norm");
  m.node("Clip", {"norm", "zero", "six"}, "relu6");
  m.node("Pad", {"relu6", "pads"}, "pad");
  onnx::NodeProto& depthwise = m.node("Conv", {"pad", "dw"}, "depthwise");
  set(depthwise, "group", int64_t{4});
  set(depthwise, "strides", {2, 2});
  m.node("Add", {"depthwise", "depthwise"}, "sum");
  set(m.node("AveragePool", {"sum"}, "pool"), "kernel_shape", {2, 2});
  set(m.node("Softmax", {"pool"}, "softmax"), "axis", int64_t{1});
  m.node("Reshape", {"softmax", "shape"}, "flat");
  set(m.node("Gemm", {"flat", "fc"}, "y"), "transB", int64_t{1});
  m.output("y");
  return m;
}

std::string error_of(const std::filesystem::path& file) {
  try {
    import_onnx(file);
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

TEST(Malformed, FilesThatAreNotModels) {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& bytes) {
    std::ofstream(folder.path() / "m.onnx", std::ios::binary) << bytes;
    return error_of(folder.path() / "m.onnx");
  };
  EXPECT_THAT(error_of(folder.path() / "absent.onnx"), HasSubstr("absent.onnx: cannot open"));
  EXPECT_THAT(error_of(folder.path()), Not(""));
  EXPECT_THAT(write(""), HasSubstr("the file is empty"));
  EXPECT_THAT(write("This is a letter, not a network."), HasSubstr("not an ONNX"));
  const std::string whole = network().model.SerializeAsString();
  EXPECT_EQ(write(whole), "");
  EXPECT_THAT(write(whole.substr(0, whole.size() / 2)), HasSubstr("cut short"));
}

TEST(Malformed, VersionsOutsideTheSupportedRange) {
  EXPECT_THAT(ModelBuilder(5).error(), HasSubstr("ONNX opset 5 is not supported"));
  EXPECT_THAT(ModelBuilder(99).error(), HasSubstr("opset from 6 to 21"));
  ModelBuilder m = network();
  m.model.set_ir_version(99);
  EXPECT_THAT(m.error(),
              HasSubstr("ONNX IR version 99 is not supported: export it with IR version 3 to 13"));
}

TEST(Malformed, EveryUnsupportedNodeIsNamed) {
  ModelBuilder m;
  m.input("x", {1, 2, 4, 4}).weights("w", {2, 2, 3, 3});
  m.node("ConvTranspose", {"x", "w"}, "up");
  m.node("Relu", {"up"}, "relu");
  m.node("Einstein", {"relu"}, "e");
  set(m.node("MaxPool", {"x"}, "pool"), "kernel_shape", {2, 2});
  set(*m.model.mutable_graph()->mutable_node()->rbegin(), "surprise", int64_t{1});
  m.node("Conv", {"x", "w"}, "conv");
  set(*m.model.mutable_graph()->mutable_node()->rbegin(), "strides", {0, 1});
  EXPECT_THAT(m.output("e").error(),
              AllOf(HasSubstr("model.onnx: 4 nodes are not supported: "),
                    HasSubstr("\"up\" (ConvTranspose): unknown operator"),
                    HasSubstr("\"e\" (Einstein): unknown operator"),
                    HasSubstr("\"pool\" (MaxPool): attribute \"surprise\" is not supported"),
                    HasSubstr("\"conv\" (Conv): strides [0,1] is outside the supported range"),
                    Not(HasSubstr("\n"))));
}

TEST(Malformed, ShapesThatDoNotFit) {
  ModelBuilder wrong_channels;
  wrong_channels.input("x", {1, 5, 4, 4}).weights("w", {2, 2, 3, 3}).node("Conv", {"x", "w"}, "y");
  EXPECT_THAT(wrong_channels.output("y").error(),
              HasSubstr("\"y\" (Conv): input [1,5,4,4], weights [2,2,3,3] and group 1 do not fit"));
  ModelBuilder large_kernel;
  large_kernel.input("x", {1, 2, 2, 2}).weights("w", {2, 2, 3, 3}).node("Conv", {"x", "w"}, "y");
  EXPECT_THAT(large_kernel.output("y").error(), HasSubstr("the kernel is larger than"));
  ModelBuilder volume;
  volume.input("x", {1, 1, 4, 4, 4}).weights("w", {1, 1, 3, 3, 3}).node("Conv", {"x", "w"}, "y");
  EXPECT_THAT(volume.output("y").error(), HasSubstr("only 1-D and 2-D windows are supported"));
}

TEST(Malformed, InputsThatAreNotFloat) {
  ModelBuilder m;
  m.input("tokens", {1, 8}).node("Relu", {"tokens"}, "y");
  m.model.mutable_graph()->mutable_input(0)->mutable_type()->mutable_tensor_type()->set_elem_type(
      onnx::TensorProto::INT64);
  EXPECT_THAT(m.output("y").error(),
              HasSubstr("input \"tokens\": only float inputs are supported"));
}

TEST(Malformed, TensorsThatDoNotHoldTheirShape) {
  ModelBuilder m = network();
  m.model.mutable_graph()->mutable_initializer(0)->add_dims(2);
  EXPECT_THAT(m.error(),
              HasSubstr("tensor \"w\" holds 288 bytes, but its shape [4,2,3,3,2] needs"));
}

TEST(Malformed, NetworksWithoutOutput) {
  ModelBuilder m;
  m.input("x", {1, 8}).node("Relu", {"x"}, "y");
  EXPECT_THAT(m.error(), HasSubstr("model.onnx: the network has no output: "));
}

TEST(Malformed, TensorsThatAreTooLargeAreNamed) {
  ModelBuilder image;
  image.input("x", {-1, 3, 1 << 16, 1 << 16}).node("Relu", {"x"}, "y");
  EXPECT_THAT(image.output("y").error(),
              HasSubstr("model.onnx: input \"x\": shape [1,3,65536,65536] has more than 2^31 "
                        "elements: export the network for a smaller input"));
  ModelBuilder batch;
  batch.input("x", {-1, 2, 4, 4}).weights("w", {64, 2, 1, 1}).node("Conv", {"x", "w"}, "y");
  EXPECT_THAT(batch.output("y").error({.batch = 1 << 22}),
              HasSubstr("model.onnx: node \"y\" (Conv): shape [4194304,4,4,64] has more than 2^31 "
                        "elements: lower the batch size (--batch-size)"));
  EXPECT_THAT(batch.error({.batch = 1 << 30}),
              AllOf(HasSubstr("input \"x\""), HasSubstr("lower the batch size")));
  ModelBuilder constant;
  constant.input("x", {1, 8}).weights("w", {8}).node("Add", {"x", "w"}, "y");
  constant.model.mutable_graph()->mutable_initializer(0)->set_dims(0, int64_t{1} << 40);
  EXPECT_THAT(constant.output("y").error(), HasSubstr("tensor \"w\": shape [1099511627776]"));
}

TEST(Malformed, NodesThatReadWhatNobodyWrites) {
  ModelBuilder m;
  m.input("x", {1, 8}).node("Add", {"x", "ghost"}, "y");
  EXPECT_THAT(m.output("y").error(), HasSubstr("reads \"ghost\", which nothing before it writes"));
}

TEST(Malformed, CheckerComplaintsAreReported) {
  const TemporaryFolder folder;
  ModelBuilder m;
  m.input("x", {1, 8}).node("Relu", {"x", "x"}, "y");
  const auto file = folder.path() / "m.onnx";
  {
    std::ofstream stream(file, std::ios::binary);
    m.output("y").model.SerializeToOstream(&stream);
  }
  try {
    import_onnx(file, {.run_onnx_checker = true});
    FAIL() << "accepted";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("the ONNX checker rejects the model"));
  }
}

// Any damage ends in a network or in an error that is one line, never in a crash.
TEST(Malformed, DamagedBytes) {
  const std::string whole = network().model.SerializeAsString();
  std::mt19937 rng(11);
  int graphs = 0, errors = 0;
  for (int trial = 0; trial < 6000; ++trial) {
    std::string bytes = whole;
    const size_t changes = 1 + rng() % 4;
    for (size_t i = 0; i < changes; ++i) {
      char& byte = bytes[rng() % bytes.size()];
      switch (rng() % 3) {
        case 0:
          byte = static_cast<char>(rng());
          break;
        case 1:
          byte = static_cast<char>(byte ^ (1 << rng() % 8));
          break;
        default:
          byte = static_cast<char>(rng() % 2 ? 0 : 255);
          break;
      }
    }
    if (trial % 7 == 0) bytes.resize(rng() % bytes.size());
    onnx::ModelProto model;
    google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()));
    if (!internal::parse_slim(stream, model)) continue;
    try {
      internal::translate(internal::open_onnx(std::move(model), "m", {}), {.batch = 2});
      ++graphs;
    } catch (const InputError& error) {
      ++errors;
    }
  }
  std::cout << graphs << " networks, " << errors << " errors\n";
  EXPECT_GT(graphs, 0);
  EXPECT_GT(errors, 0);
}

}  // namespace
}  // namespace tinytl

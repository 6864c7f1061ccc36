// What export_onnx writes, beyond what the round trips of backend_test and reference_test show.

#include "engine/onnx/export.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/checker.h>
#include <onnx/shape_inference/implementation.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "engine/onnx/import.h"
#include "engine/ops/op_table.h"
#include "tests/onnx/model_builder.h"

namespace tinytl {
namespace {

using testing::HasSubstr;

// A network with a flattened feature map larger than 1x1, a gate, and a transformer-like end.
ModelBuilder network() {
  ModelBuilder m;
  m.input("x", {-1, 2, 5, 5})
      .weights("w", {4, 2, 3, 3})
      .weights("b", {4})
      .weights("dw", {4, 1, 3, 3});
  m.weights("fc", {36, 6}).numbers("six", {}, {6}).numbers("zero", {}, {0});
  m.weights("gamma", {6}).weights("beta", {6});
  m.node("Conv", {"x", "w", "b"}, "conv");
  m.node("Clip", {"conv", "zero", "six"}, "relu6");
  onnx::NodeProto& depthwise = m.node("Conv", {"relu6", "dw"}, "depthwise");
  set(depthwise, "group", int64_t{4});
  set(depthwise, "pads", {1, 1, 1, 1});
  m.node("GlobalAveragePool", {"depthwise"}, "pool");
  m.node("Sigmoid", {"pool"}, "gate");
  m.node("Mul", {"depthwise", "gate"}, "gated");
  m.node("Flatten", {"gated"}, "flat");
  m.node("MatMul", {"flat", "fc"}, "features");
  m.model.mutable_opset_import(0)->set_version(17);
  m.node("LayerNormalization", {"features", "gamma", "beta"}, "y");
  m.output("y");
  return m;
}

// ONNX has no standardisation of weights.
TEST(Export, StandardizedWeightsAreWrittenAsTheNetworkUsesThem) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kF32, {1, 4, 4, 2}});
  Numbers values(3 * 3 * 2 * 4);
  for (size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i + 1));
  const ValueId w = graph.add_persistent("w", Role::kWeight, make_tensor({3, 3, 2, 4}, values));
  const ValueId s = emit(graph, kStandardizeWeight, "s", {w}, {{"epsilon", 1e-5f}});
  const ValueId y = emit(graph, kConv2d, "conv", {x, s},
                         {{"strides", Shape{1, 1}},
                          {"pads", Shape(4, 1)},
                          {"dilations", Shape{1, 1}},
                          {"groups", int64_t{1}}});
  graph.outputs = {y};
  const TemporaryFolder folder;
  export_onnx(graph, folder.path() / "m.onnx");
  const Graph again = import_onnx(folder.path() / "m.onnx");
  EXPECT_EQ(count_nodes(again, kStandardizeWeight), 0u);
  EXPECT_NE(again.find("w"), nullptr);
  const Numbers input = sample_input(32);
  EXPECT_THAT(run_nhwc(again, {input}).at(0),
              testing::Pointwise(testing::FloatNear(1e-5f), run_nhwc(graph, {input}).at(0)));
}

onnx::ModelProto read(const std::filesystem::path& file) {
  onnx::ModelProto model;
  std::ifstream stream(file, std::ios::binary);
  EXPECT_TRUE(model.ParseFromIstream(&stream));
  return model;
}

TEST(Export, RoundTripKeepsNumbersNamesAndRoles) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "m.onnx";
  const Graph graph = network().graph(2);
  export_onnx(graph, file);
  const Graph again = import_onnx(file, {.batch = 2, .run_onnx_checker = true});
  EXPECT_EQ(again.nodes().size(), graph.nodes().size());
  for (const Value& value : graph.values()) {
    if (!is_parameter(value.role)) continue;
    const Value* other = again.find(value.name);
    ASSERT_NE(other, nullptr) << value.name;
    EXPECT_EQ(other->role, value.role) << value.name;
    EXPECT_EQ(other->type, value.type) << value.name;
  }
  const Numbers x = sample_input(100);
  EXPECT_LT(relative_error(run_nhwc(again, {x}).at(0), run_nhwc(graph, {x}).at(0)), 1e-6);
}

// Sizes whose ratio, as a float, falls short of the whole number: 3 pixels to 7.
TEST(Export, ResizedSizesAreReadBackAsTheyWere) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "m.onnx";
  for (int64_t from = 1; from <= 8; ++from) {
    for (int64_t to = 1; to <= 24; ++to) {
      Graph graph;
      const ValueId x = graph.add_input("x", {DType::kF32, {1, from, from, 3}}, true);
      graph.outputs = {
          emit(graph, kResize, "resize", {x}, {{"size", Shape{to, to}}, {"mode", int64_t{1}}})};
      export_onnx(graph, file);
      const Graph again = import_onnx(file, {.batch = 1});
      const auto resize = std::ranges::find(again.nodes(), &kResize, &Node::op);
      ASSERT_NE(resize, again.nodes().end()) << from << " to " << to;
      EXPECT_EQ(again.value(resize->output()).type.shape, (Shape{1, to, to, 3}));
    }
  }
}

TEST(Export, GroupNormsComputeTheSameAgain) {
  ModelBuilder m;
  m.input("x", {-1, 2, 5, 5}).weights("w", {12, 2, 3, 3});
  m.weights("gamma", {12}).weights("beta", {12}).weights("mean", {12});
  m.numbers("variance", {12}, Numbers(12, 1));
  m.node("Conv", {"x", "w"}, "conv");
  m.node("BatchNormalization", {"conv", "gamma", "beta", "mean", "variance"}, "norm");
  m.node("Relu", {"norm"}, "y");
  const Graph graph = m.output("y").translate({.batch = 2, .norms = Norms::kGroup}).graph;
  const TemporaryFolder folder;
  const auto file = folder.path() / "m.onnx";
  export_onnx(graph, file);
  const Graph again = import_onnx(file, {.batch = 2, .run_onnx_checker = true});
  for (const char* name : {"gamma", "beta"}) EXPECT_NE(again.find(name), nullptr) << name;
  const Numbers x = sample_input(100);
  EXPECT_LT(relative_error(run_nhwc(again, {x}).at(0), run_nhwc(graph, {x}).at(0)), 1e-5);
}

TEST(Export, BatchNormsKeepTheirStatistics) {
  ModelBuilder m;
  m.input("x", {-1, 2, 5, 5}).weights("w", {4, 2, 3, 3}).weights("mean", {4});
  m.weights("gamma", {4}).weights("beta", {4}).numbers("variance", {4}, {1, 2, 3, 4});
  m.node("Conv", {"x", "w"}, "conv");
  m.node("BatchNormalization", {"conv", "gamma", "beta", "mean", "variance"}, "norm");
  m.node("Relu", {"norm"}, "y");
  const ImportOptions options{.batch = 2, .norms = Norms::kBatch, .run_onnx_checker = true};
  const Graph graph = m.output("y").translate(options).graph;
  const TemporaryFolder folder;
  const auto file = folder.path() / "m.onnx";
  export_onnx(graph, file);
  const Graph again = import_onnx(file, options);
  EXPECT_EQ(again.nodes().size(), graph.nodes().size());
  for (const char* name : {"w", "gamma", "beta", "mean", "variance"}) {
    EXPECT_NE(again.find(name), nullptr) << name;
  }
  const Numbers x = sample_input(100);
  EXPECT_LT(relative_error(run_nhwc(again, {x}).at(0), run_nhwc(graph, {x}).at(0)), 1e-6);
}

TEST(Export, IsStandardOnnxWithAnOpenBatch) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "m.onnx";
  export_onnx(network().graph(2), file);
  onnx::ModelProto model = read(file);
  onnx::checker::check_model(model);
  onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(),
                                     onnx::ShapeInferenceOptions{true, 1, true});
  EXPECT_EQ(model.opset_import(0).version(), 13);
  const auto& shape = model.graph().input(0).type().tensor_type().shape();
  EXPECT_EQ(shape.dim(0).dim_param(), "N");
  EXPECT_EQ(shape.dim(1).dim_value(), 2) << "channels first";
  for (const auto& node : model.graph().node()) EXPECT_NE(node.op_type(), "Transpose");
  for (const auto& tensor : model.graph().initializer()) {
    if (tensor.name() != "w") continue;
    EXPECT_EQ(tensor.dims(0), 4);
    EXPECT_EQ(tensor.dims(1), 2);
  }
  // Another batch than the one it was exported with.
  const Graph five = import_onnx(file, {.batch = 5}), one = import_onnx(file, {.batch = 1});
  const Numbers x = sample_input(250);
  const Numbers y = run_nhwc(five, {x}).at(0);
  const Numbers last = run_nhwc(one, {{x.begin() + 200, x.end()}}).at(0);
  EXPECT_LT(relative_error({y.begin() + 24, y.end()}, last), 1e-6);
}

TEST(Export, ReplacesAFileOnlyWhenItIsWhole) {
  const TemporaryFolder folder;
  const auto file = folder.path() / "m.onnx";
  std::ofstream(file) << "the old file";
  const Graph graph = network().graph();

  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  rlimit small = old;
  small.rlim_cur = 512;  // as if the disk were full
  setrlimit(RLIMIT_FSIZE, &small);
  std::string error;
  try {
    export_onnx(graph, file);
  } catch (const InputError& e) {
    error = e.what();
  }
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_THAT(error, HasSubstr("m.onnx: cannot be written: "));
  std::string content;
  std::ifstream stream(file);
  std::getline(stream, content);
  EXPECT_EQ(content, "the old file");
  const auto files = std::filesystem::directory_iterator(folder.path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 1) << "a temporary file was left";
}

TEST(Export, SaysWhereItCannotWrite) {
  const TemporaryFolder folder;
  try {
    export_onnx(network().graph(), folder.path() / "absent" / "m.onnx");
    FAIL() << "wrote into a folder that is not there";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("m.onnx: cannot be written: No such file or directory; "));
  }
}

TEST(Export, FollowsLinksAndReplacesNoDevice) {
  const TemporaryFolder folder;
  const Graph graph = network().graph();
  std::ofstream(folder.path() / "real.onnx") << "the old file";
  std::filesystem::create_symlink("real.onnx", folder.path() / "link.onnx");
  export_onnx(graph, folder.path() / "link.onnx");
  EXPECT_TRUE(std::filesystem::is_symlink(folder.path() / "link.onnx"));
  EXPECT_GT(read(folder.path() / "real.onnx").graph().node_size(), 0);

  std::filesystem::create_symlink("/dev/full", folder.path() / "full");
  EXPECT_THROW(export_onnx(graph, folder.path() / "full"), InputError);
  EXPECT_TRUE(std::filesystem::is_character_file(folder.path() / "full"));
}

TEST(Export, ImagesThatNoConvolutionReadsAreChannelsFirstInTheFile) {
  ModelBuilder m;
  m.input("x", {-1, 3, 4, 5}).weights("fc", {60, 4});
  m.node("Flatten", {"x"}, "flat");
  m.node("Gemm", {"flat", "fc"}, "y");
  const Graph graph = m.output("y").graph(2);
  const TemporaryFolder folder;
  const auto file = folder.path() / "m.onnx";
  export_onnx(graph, file);
  const onnx::ModelProto model = read(file);
  const auto& shape = model.graph().input(0).type().tensor_type().shape();
  EXPECT_EQ(shape.dim(1).dim_value(), 3);
  EXPECT_EQ(shape.dim(3).dim_value(), 5);
  const Graph again = import_onnx(file, {.batch = 2});
  EXPECT_EQ(again.value(again.inputs[0]).type.shape, (Shape{2, 4, 5, 3}));
  const Numbers x = sample_input(120);
  EXPECT_LT(relative_error(run_nhwc(again, {x}).at(0), m.run({x}, 2)), 1e-6);
}

TEST(Export, OperatorsOfTrainingHaveNoOnnxForm) {
  Graph graph;
  const ValueId x = graph.add_input("x", {DType::kF32, {2, 3}});
  const ValueId target = graph.add_input("target", {DType::kF32, {2, 3}});
  graph.outputs = emit_all(graph, kMeanSquaredError, "loss", {x, target});
  const TemporaryFolder folder;
  try {
    export_onnx(graph, folder.path() / "m.onnx");
    FAIL() << "exported a loss";
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), HasSubstr("node \"loss\" (MeanSquaredError) has no ONNX form"));
  }
}

}  // namespace
}  // namespace tinytl

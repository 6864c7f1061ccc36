// The ONNX project's own test of its operators: small models with inputs and expected outputs.
//
// Each model is tried with all its inputs given at run time, with all but the first built in as
// constants (weights, shapes, axes), and with all of them built in (which tests the evaluator).

#include <gtest/gtest.h>
#include <onnx/checker.h>
#include <onnx/shape_inference/implementation.h>

#include <cmath>
#include <fstream>
#include <iostream>

#include "engine/onnx/export.h"
#include "tests/onnx/support.h"

namespace tinytl {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = "/usr/share/libonnx-testdata/data";

// Operators whose tests must be among those that run.
const std::set<std::string> kCovered{"Abs",
                                     "Add",
                                     "AveragePool",
                                     "BatchNormalization",
                                     "Clip",
                                     "Concat",
                                     "Constant",
                                     "ConstantOfShape",
                                     "Conv",
                                     "DequantizeLinear",
                                     "Div",
                                     "Dropout",
                                     "Elu",
                                     "Equal",
                                     "Erf",
                                     "Exp",
                                     "Expand",
                                     "Flatten",
                                     "Floor",
                                     "Gather",
                                     "Gemm",
                                     "GlobalAveragePool",
                                     "GlobalMaxPool",
                                     "Greater",
                                     "HardSigmoid",
                                     "HardSwish",
                                     "Identity",
                                     "InstanceNormalization",
                                     "LayerNormalization",
                                     "LeakyRelu",
                                     "Less",
                                     "Log",
                                     "LogSoftmax",
                                     "MatMul",
                                     "Max",
                                     "MaxPool",
                                     "Min",
                                     "Mul",
                                     "Neg",
                                     "Pad",
                                     "Pow",
                                     "QuantizeLinear",
                                     "Range",
                                     "Reciprocal",
                                     "ReduceMean",
                                     "ReduceSum",
                                     "Relu",
                                     "Reshape",
                                     "Resize",
                                     "Shape",
                                     "Sigmoid",
                                     "Size",
                                     "Slice",
                                     "Softmax",
                                     "Softplus",
                                     "Split",
                                     "Sqrt",
                                     "Squeeze",
                                     "Sub",
                                     "Sum",
                                     "Tanh",
                                     "Transpose",
                                     "Unsqueeze",
                                     "Where",
                                     "Cast"};

struct Case {
  onnx::ModelProto model;
  std::vector<onnx::TensorProto> inputs, outputs;
};

template <typename Message>
bool parse(const fs::path& file, Message& message) {
  std::ifstream stream(file, std::ios::binary);
  return stream && message.ParseFromIstream(&stream);
}

std::optional<Case> load(const fs::path& folder) {
  Case c;
  if (!parse(folder / "model.onnx", c.model)) return std::nullopt;
  // The test of a global pooling names opset 1, whose other operators differ from today's.
  if (c.model.graph().node_size() == 1 && c.model.opset_import_size() == 1 &&
      c.model.graph().node(0).op_type().starts_with("Global")) {
    c.model.mutable_opset_import(0)->set_version(13);
  }
  const auto read = [&](const std::string& kind, const auto& infos, auto& tensors) {
    for (int i = 0; i < infos.size(); ++i) {
      onnx::TensorProto tensor;
      const fs::path file = folder / "test_data_set_0" / (kind + "_" + std::to_string(i) + ".pb");
      if (!infos[i].type().has_tensor_type() || !parse(file, tensor)) return false;
      tensor.set_name(infos[i].name());
      // Some data files name the integer type that stands for bfloat16.
      tensor.set_data_type(infos[i].type().tensor_type().elem_type());
      tensors.push_back(tensor);
    }
    return true;
  };
  if (!read("input", c.model.graph().input(), c.inputs)) return std::nullopt;
  if (!read("output", c.model.graph().output(), c.outputs)) return std::nullopt;
  return c;
}

Numbers numbers_of(onnx::TensorProto tensor) {
  return internal::floats_of(*internal::take_literal(tensor, {}));
}

// The model with its inputs from `first` on as initializers.
onnx::ModelProto with_constants(const Case& c, size_t first) {
  onnx::ModelProto model = c.model;
  onnx::GraphProto& graph = *model.mutable_graph();
  for (size_t i = c.inputs.size(); i-- > 0;) {
    auto& shape = *graph.mutable_input(static_cast<int>(i))
                       ->mutable_type()
                       ->mutable_tensor_type()
                       ->mutable_shape();
    shape.clear_dim();
    for (const int64_t dim : c.inputs[i].dims()) shape.add_dim()->set_dim_value(dim);
    if (i < first) continue;
    *graph.add_initializer() = c.inputs[i];
    graph.mutable_input()->DeleteSubrange(static_cast<int>(i), 1);
  }
  return model;
}

void expect_close(const Numbers& actual, const Numbers& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    if (actual[i] == expected[i] || (std::isnan(actual[i]) && std::isnan(expected[i]))) continue;
    ASSERT_NEAR(actual[i], expected[i], 1e-5 + 1e-3 * std::fabs(expected[i])) << "element " << i;
  }
}

// Exported and imported again, the network computes the same, in a file that libonnx accepts.
void expect_same_after_export(const internal::Translation& t, const std::vector<Numbers>& inputs,
                              const std::vector<Numbers>& computed) {
  SCOPED_TRACE("after export");
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "m.onnx";
  export_onnx(t.graph, file);
  onnx::ModelProto model;
  ASSERT_TRUE(parse(file, model));
  onnx::checker::check_model(model);
  onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(),
                                     onnx::ShapeInferenceOptions{true, 1, true});
  ImportOptions options{.batch = 0};
  const Shape& first = t.graph.value(t.graph.inputs[0]).type.shape;
  if (!first.empty()) options.batch = first[0];
  const internal::Translation u = internal::translate(internal::read_onnx(file), options);
  // The file has the inputs of the graph: those with channels last are not the first file's.
  std::vector<Numbers> moved = inputs;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const TensorType& type = t.graph.value(t.graph.inputs[i]).type;
    const TensorType& other = u.graph.value(u.graph.inputs[i]).type;
    ASSERT_EQ(type.shape, other.shape);
    const internal::Order a = t.input_orders[i], b = u.input_orders[i];
    if (a == b) continue;
    Numbers stored(inputs[i].size());
    Shape shape(a.size());
    for (size_t j = 0; j < a.size(); ++j) shape[size_t(a[j])] = type.shape[j];
    internal::permute(inputs[i], shape, a, stored);
    moved[i] = stored;
  }
  const auto results = run(u.graph, u.input_orders, moved);
  for (size_t i = 0; i < results.size(); ++i) expect_close(results[i], computed.at(i));
}

// Why it could not be imported, or "" where it ran.
std::string run_case(const Case& c, size_t first_constant) {
  internal::Translation t;
  try {
    t = internal::translate(internal::open_onnx(with_constants(c, first_constant), "model", {}),
                            {.batch = 0});
  } catch (const InputError& error) {
    return error.what();
  }
  std::vector<Numbers> inputs;
  for (const ValueId id : t.graph.inputs) {
    for (const auto& tensor : c.inputs) {
      if (tensor.name() == t.graph.value(id).name) inputs.push_back(numbers_of(tensor));
    }
  }
  const auto computed =
      t.graph.outputs.empty() ? std::vector<Numbers>{} : run(t.graph, t.input_orders, inputs);
  if (!computed.empty() && !t.graph.inputs.empty()) {
    try {
      expect_same_after_export(t, inputs, computed);
    } catch (const std::exception& error) {
      ADD_FAILURE() << "export: " << error.what();
    }
  }
  size_t next = 0;
  for (const auto& expected : c.outputs) {
    const auto constant = t.constant_outputs.find(expected.name());
    const bool is_constant = constant != t.constant_outputs.end();
    SCOPED_TRACE("output " + expected.name());
    expect_close(is_constant ? internal::floats_of(*constant->second) : computed.at(next++),
                 numbers_of(expected));
  }
  return "";
}

TEST(OnnxBackend, EverySupportedCaseGivesTheExpectedNumbers) {
  if (!fs::exists(kFolder)) GTEST_SKIP() << "needs the Debian package libonnx-testdata";
  std::vector<fs::path> folders;
  for (const char* group : {"node", "pytorch-converted", "pytorch-operator", "simple"}) {
    if (!fs::exists(kFolder / group)) continue;
    for (const auto& entry : fs::directory_iterator(kFolder / group)) folders.push_back(entry);
  }
  std::sort(folders.begin(), folders.end());
  std::set<std::string> covered;
  size_t ran = 0, runs = 0, failed = 0;
  std::map<std::string, std::string> unsupported;
  for (const fs::path& folder : folders) {
    SCOPED_TRACE(folder.filename().string());
    std::string why = "not a model of tensors";
    bool any = false;
    if (const auto c = load(folder)) {
      std::set<size_t> variants{c->inputs.size(), std::min<size_t>(1, c->inputs.size()), 0};
      for (const size_t first_constant : variants) {
        try {
          why = run_case(*c, first_constant);
        } catch (const InputError& error) {
          why = error.what();  // the data of the test are of an unsupported type
        }
        runs += why.empty();
        any = any || why.empty();
        if (::testing::Test::HasFailure() && failed++ == 0) std::cerr << "first failure above\n";
      }
      if (any) {
        for (const auto& node : c->model.graph().node()) covered.insert(node.op_type());
      }
    }
    ran += any;
    if (!any) unsupported[folder.filename().string()] = why;
  }
  std::cout << folders.size() << " models: " << ran << " ran (" << runs
            << " runs with different inputs constant), " << unsupported.size()
            << " not supported\n";
  if (std::getenv("TINYTL_VERBOSE") != nullptr) {
    for (const auto& [name, why] : unsupported) std::cout << "  " << name << ": " << why << "\n";
  }
  for (const std::string& op : kCovered) {
    EXPECT_TRUE(covered.contains(op)) << op << " has no test that runs";
  }
}

}  // namespace
}  // namespace tinytl

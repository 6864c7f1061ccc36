// Real pretrained models, imported and run, against PyTorch (make_reference.py).

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "engine/onnx/export.h"
#include "engine/onnx/import.h"
#include "engine/ops/op_table.h"
#include "tests/onnx/support.h"

namespace tinytl {
namespace {

struct Reference {
  std::string model;
  size_t outputs = 0;
  Numbers first;  // at most eight of them
  double sum = 0, norm = 0;
};

std::vector<Reference> references() {
  std::ifstream stream(TINYTL_TEST_SOURCE "/reference_outputs.txt");
  std::vector<Reference> all;
  Reference r;
  while (stream >> r.model >> r.outputs) {
    r.first.resize(std::min<size_t>(8, r.outputs));
    for (float& v : r.first) stream >> v;
    stream >> r.sum >> r.norm;
    all.push_back(r);
  }
  return all;
}

void PrintTo(const Reference& reference, std::ostream* stream) { *stream << reference.model; }

size_t input_size(const Graph& graph) {
  return static_cast<size_t>(graph.value(graph.inputs.at(0)).type.elements());
}

class RealModel : public testing::TestWithParam<Reference> {
 protected:
  void SetUp() override {
    if (real_model("").empty()) GTEST_SKIP() << "set TINYTL_DATA to run the real models";
    file_ = real_model(GetParam().model);
    ASSERT_TRUE(std::filesystem::exists(file_)) << file_;
  }
  std::filesystem::path file_;
};

TEST_P(RealModel, GivesTheNumbersOfPyTorch) {
  const Graph graph = import_onnx(file_, {.batch = 2});
  EXPECT_EQ(count_nodes(graph, kTranspose), 0u);
  const Numbers y = run_nhwc(graph, {sample_input(input_size(graph))}).at(0);
  const Reference& r = GetParam();
  ASSERT_EQ(y.size(), r.outputs);
  double sum = 0, squares = 0;
  for (const float v : y) {
    sum += v;
    squares += double{v} * double{v};
  }
  const double scale = r.norm / std::sqrt(static_cast<double>(r.outputs));
  double worst = std::max(std::fabs(sum - r.sum) / (r.norm * std::sqrt(double(r.outputs))),
                          std::fabs(std::sqrt(squares) - r.norm) / r.norm);
  for (size_t i = 0; i < r.first.size(); ++i) {
    worst = std::max(worst, std::fabs(double{y[i]} - double{r.first[i]}) / scale);
  }
  RecordProperty("worst_relative_error", std::to_string(worst));
  std::cout << r.model << ": " << graph.nodes().size() << " nodes, worst relative error " << worst
            << "\n";
  // The logarithms of the audio front end magnify rounding where a band is silent.
  EXPECT_LT(worst, r.model.starts_with("kwt1_frontend") ? 1e-3 : 1e-4);
}

TEST_P(RealModel, TreatsEverySampleOfABatchAlike) {
  const Graph one = import_onnx(file_, {.batch = 1}), eight = import_onnx(file_, {.batch = 8});
  const size_t size = input_size(one);
  ASSERT_EQ(input_size(eight), 8 * size);
  const Numbers batch = sample_input(8 * size);
  const Numbers y = run_nhwc(eight, {batch}).at(0);
  for (const size_t sample : {0, 3, 7}) {
    const auto at = batch.begin() + static_cast<long>(sample * size);
    const Numbers alone = run_nhwc(one, {{at, at + static_cast<long>(size)}}).at(0);
    const auto part = y.begin() + static_cast<long>(sample * alone.size());
    EXPECT_LT(relative_error({part, part + static_cast<long>(alone.size())}, alone), 1e-5);
  }
}

TEST_P(RealModel, IsTheSameAfterExportAndImport) {
  const Graph graph = import_onnx(file_, {.batch = 2});
  const TemporaryFolder folder;
  export_onnx(graph, folder.path() / "again.onnx");
  const Graph again =
      import_onnx(folder.path() / "again.onnx", {.batch = 2, .run_onnx_checker = true});
  EXPECT_EQ(again.nodes().size(), graph.nodes().size());
  EXPECT_EQ(count_nodes(again, kTranspose), 0u);
  const Numbers x = sample_input(input_size(graph));
  EXPECT_LT(relative_error(run_nhwc(again, {x}).at(0), run_nhwc(graph, {x}).at(0)), 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Models, RealModel, testing::ValuesIn(references()), [](const auto& test) {
  std::string name = test.param.model;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
});

}  // namespace
}  // namespace tinytl

// Running imported models in tests.
#pragma once

#include <filesystem>

#include "engine/onnx/translate.h"

namespace tinytl {

using Numbers = std::vector<float>;

// Runs the network once. `inputs` and the result are in the dimension order of the ONNX file.
std::vector<Numbers> run(const Graph& graph, const std::vector<internal::Order>& input_orders,
                         const std::vector<Numbers>& inputs);

// The same for a model whose inputs are all stored with their channels last where they have rank 4,
// as import_onnx leaves them where they feed a convolution.
std::vector<Numbers> run_nhwc(const Graph& graph, const std::vector<Numbers>& nchw_inputs);

// 0.5 sin(0.7 i) + 0.5 cos(0.13 i): tests/onnx/make_reference.py computes the same.
Numbers sample_input(size_t count);

// Norm of the difference over norm of the reference.
double relative_error(const Numbers& actual, const Numbers& reference);

size_t count_nodes(const Graph& graph, const OpDef& op);

// A fresh folder for the files of one test, removed afterwards.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  std::filesystem::path path() const { return path_; }

 private:
  std::filesystem::path path_;
};

// Path of a file under $TINYTL_DATA/models; empty where that is not set.
std::filesystem::path real_model(const std::string& name);

}  // namespace tinytl

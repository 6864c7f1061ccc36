#include "tests/onnx/support.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "engine/runtime/executor.h"

namespace tinytl {

std::vector<Numbers> run(const Graph& graph, const std::vector<internal::Order>& input_orders,
                         const std::vector<Numbers>& inputs) {
  Executor executor(graph);
  const Graph& g = executor.graph();
  const auto read_by = readers(g);
  for (size_t i = 0; i < g.inputs.size(); ++i) {
    const bool is_output = std::count(g.outputs.begin(), g.outputs.end(), g.inputs[i]) > 0;
    if (read_by[index(g.inputs[i])].empty() && !is_output) continue;
    const internal::Order& order = input_orders.at(i);
    const Shape& stored = g.value(g.inputs[i]).type.shape;
    Shape shape(stored.size());
    for (size_t j = 0; j < stored.size(); ++j) shape[size_t(order[j])] = stored[j];
    internal::permute(inputs.at(i), shape, order, executor.f32(g.inputs[i]));
  }
  executor.step();
  std::vector<Numbers> outputs;
  for (const ValueId id : g.outputs) {
    const auto values = executor.f32(id);
    outputs.emplace_back(values.begin(), values.end());
  }
  return outputs;
}

std::vector<Numbers> run_nhwc(const Graph& graph, const std::vector<Numbers>& nchw_inputs) {
  std::vector<internal::Order> orders;
  for (const ValueId id : graph.inputs) {
    const size_t rank = graph.value(id).type.rank();
    orders.push_back(rank == 4 ? internal::channels_last(rank) : internal::identity_order(rank));
  }
  return run(graph, orders, nchw_inputs);
}

Numbers sample_input(size_t count) {
  Numbers x(count);
  for (size_t i = 0; i < count; ++i) {
    const auto t = static_cast<double>(i);
    x[i] = static_cast<float>(0.5 * std::sin(0.7 * t) + 0.5 * std::cos(0.13 * t));
  }
  return x;
}

double relative_error(const Numbers& actual, const Numbers& reference) {
  if (actual.size() != reference.size()) return INFINITY;
  double difference = 0, norm = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double d = double{actual[i]} - double{reference[i]};
    difference += d * d;
    norm += double{reference[i]} * double{reference[i]};
  }
  return std::sqrt(difference) / (std::sqrt(norm) + 1e-30);
}

size_t count_nodes(const Graph& graph, const OpDef& op) {
  size_t count = 0;
  for (const Node& node : graph.nodes()) count += node.op == &op;
  return count;
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "tinytl_onnx_XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw InputError("cannot make a temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path real_model(const std::string& name) {
  const char* data = std::getenv("TINYTL_DATA");
  return data == nullptr ? "" : std::filesystem::path(data) / "models" / name;
}

}  // namespace tinytl

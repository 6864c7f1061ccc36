// Saved activations in fewer bits: less is kept, the forward pass stays, gradients come near.

#include "autodiff/save_ranges.h"

#include <gtest/gtest.h>

#include <cmath>

#include "autodiff/differentiate.h"
#include "engine/ops/passes.h"
#include "engine/runtime/executor.h"
#include "tests/graph/support.h"

namespace tinytl {
namespace {

GradientGraph full_update(int bits) {
  const Graph model = small_cnn(8);
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(model)) scheme.parameters.push_back({id});
  GradientGraph g = differentiate(model, {}, scheme);
  if (bits < 32) save_in_ranges(g.graph, bits);
  verify(g.graph);
  return g;
}

struct Result {
  float loss = 0;
  std::vector<std::vector<float>> gradients;
};

Result run(GradientGraph g) {
  for (const ParameterGradient& p : g.gradients) g.graph.outputs.push_back(p.gradient);
  Executor executor(g.graph);
  std::mt19937 rng(3);
  for (float& v : executor.f32(g.graph.inputs[0])) v = static_cast<float>(rng() % 1000) / 500 - 1;
  for (int32_t& v : executor.i32(g.target)) v = static_cast<int32_t>(rng() % 5);
  executor.step();
  Result result{executor.f32(g.loss)[0], {}};
  for (const ParameterGradient& p : g.gradients) {
    const auto values = executor.f32(p.gradient);
    result.gradients.emplace_back(values.begin(), values.end());
  }
  return result;
}

double largest_relative_error(const Result& got, const Result& want) {
  double most = 0;
  for (size_t p = 0; p < want.gradients.size(); ++p) {
    double difference = 0, size = 1e-30;
    for (size_t i = 0; i < want.gradients[p].size(); ++i) {
      difference += std::pow(double{got.gradients[p][i]} - double{want.gradients[p][i]}, 2);
      size += std::pow(double{want.gradients[p][i]}, 2);
    }
    most = std::max(most, std::sqrt(difference / size));
  }
  return most;
}

size_t saved_bytes(const Graph& graph) {
  size_t bytes = 0;
  for (const ValueId id : saved_values(graph)) bytes += graph.value(id).type.bytes();
  return bytes;
}

TEST(SaveRanges, LossKeepsItsBitsAndGradientsComeNear) {
  const Result exact = run(full_update(32)), with_8 = run(full_update(8)),
               with_4 = run(full_update(4));
  EXPECT_EQ(with_8.loss, exact.loss);
  EXPECT_EQ(with_4.loss, exact.loss);
  EXPECT_GT(largest_relative_error(with_8, exact), 0);
  EXPECT_LT(largest_relative_error(with_8, exact), 0.01);
  EXPECT_LT(largest_relative_error(with_4, exact), 0.1);
}

TEST(SaveRanges, KeepLess) {
  const auto floats = static_cast<double>(saved_bytes(full_update(32).graph));
  EXPECT_LT(static_cast<double>(saved_bytes(full_update(8).graph)), 0.35 * floats);
  EXPECT_LT(static_cast<double>(saved_bytes(full_update(4).graph)), 0.22 * floats);
}

TEST(SaveRanges, ForwardPassNeverReadsCodes) {
  const GradientGraph g = full_update(8);
  for (const Node& node : g.graph.nodes()) {
    if (node.phase != Phase::kForward) continue;
    for (const ValueId id : node.inputs)
      EXPECT_EQ(g.graph.value(id).type.dtype == DType::kRange8, false);
  }
}

TEST(SaveRanges, NothingToSaveChangesNothing) {
  const Graph model = small_cnn(8);
  GradientGraph g = differentiate(model, {}, {{{model.id_of("fc.bias")}}});
  const size_t nodes = g.graph.nodes().size();
  save_in_ranges(g.graph, 8);
  EXPECT_EQ(g.graph.nodes().size(), nodes);
}

}  // namespace
}  // namespace tinytl

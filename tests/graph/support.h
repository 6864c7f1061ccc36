// Small networks for the tests of this folder and of those that build on it.
#pragma once

#include <random>
#include <vector>

#include "engine/ops/op_table.h"

namespace tinytl {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::shared_ptr<Tensor> random_tensor(Shape shape, uint32_t seed, float scale = 1.0f);
ValueId add_weight(Graph& graph, std::string name, Shape shape, uint32_t seed = 1);
ValueId add_bias(Graph& graph, std::string name, Shape shape, uint32_t seed = 2);

ValueId relu6(Graph& graph, const std::string& name, ValueId x);
// x . NAME.weight + NAME.bias
ValueId linear(Graph& graph, const std::string& name, ValueId x, int64_t outputs);
// 3x3 with pads 1, or 1x1, then NAME.bias; strides 1.
ValueId convolution(Graph& graph, const std::string& name, ValueId x, int64_t channels,
                    int64_t kernel);

// "x" f32[batch,8,8,3] -> stem 3x3, relu6 -> two residual blocks (expand 1x1, relu6, depthwise,
// relu6, project 1x1) -> mean -> fc -> f32[batch,5].
Graph small_cnn(int64_t batch);

// "x" f32[batch,features] -> fc0, relu6 -> fc1, relu6 -> ... f32[batch,last of widths].
Graph mlp(int64_t batch, int64_t features, const std::vector<int64_t>& widths);

// A random network on "x" f32[4,6]: elementwise operators, matrices, views, shared parameters.
// Every value leads to the output.
Graph random_network(std::mt19937& rng);

// The same graph with parameters and state of its own.
Graph with_own_tensors(Graph graph);

ValueId id_of(const Graph& graph, const Value& value);
std::vector<ValueId> parameters_of(const Graph& graph);

}  // namespace tinytl

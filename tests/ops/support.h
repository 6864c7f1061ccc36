// One operator in a graph of its own, with and without its gradients.
#pragma once

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "engine/runtime/executor.h"
#include "tests/ops/op_cases.h"

namespace tinytl {

// The f32 and i32 inputs of a case, in the order of its inputs. An input of bits is drawn as f32,
// its sign is the bit.
struct Operands {
  std::vector<std::vector<float>> f32;
  std::vector<std::vector<int32_t>> i32;
};
Operands random_operands(const OpCase& op_case, std::mt19937& rng);

// The node of a case, its operands as inputs of the graph.
struct OpGraph {
  Graph graph;
  std::vector<ValueId> inputs;    // what the caller writes
  std::vector<ValueId> operands;  // what the node reads; differs for bits
  NodeId node{};
  ValueId output{};
};
OpGraph forward_graph(const OpCase& op_case);

// The same with `dy` as one more input and the gradient nodes of the wanted operands.
struct GradGraph : OpGraph {
  ValueId dy{};
  std::vector<std::optional<ValueId>> gradients;
};
// `channels`: of operand 1, a weight, where its gradient is of some input channels alone.
GradGraph gradient_graph(const OpCase& op_case, const std::vector<bool>& wanted,
                         const std::vector<int64_t>& channels = {});

void write_operands(const Executor& executor, const OpGraph& g, const Operands& operands);
// The output of the case.
std::vector<float> run_forward(const OpCase& op_case, const Operands& operands,
                               const tt_kernels& kernels);

// What the backward pass needs from the forward pass: the values that do not depend on dy, read by
// nodes that do. "in0" is operand 0, "y" the output, anything else its type; joined by blanks.
std::string saved_values(const OpCase& op_case, const std::vector<bool>& wanted,
                         const std::vector<int64_t>& channels = {});

// Every non-empty set of f32 operands.
std::vector<std::vector<bool>> wanted_sets(const OpCase& op_case);

}  // namespace tinytl

// Running networks in the tests of this folder.
#pragma once

#include <vector>

#include "engine/runtime/executor.h"
#include "tests/graph/support.h"

namespace tinytl {

// The first output for an input of random numbers, the same for every network of that input.
inline std::vector<float> run(const Graph& graph) {
  Executor executor(graph);
  const auto values = random_tensor(graph.value(graph.inputs[0]).type.shape, 4);
  std::ranges::copy(values->f32(), executor.f32(graph.inputs[0]).begin());
  executor.step();
  const auto y = executor.f32(graph.outputs[0]);
  return {y.begin(), y.end()};
}

}  // namespace tinytl

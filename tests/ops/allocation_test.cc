// No kernel may allocate: the heap is counted during a step of every operator and its gradient.

#include <gtest/gtest.h>

#include "tests/ops/heap_counter.h"
#include "tests/ops/support.h"

namespace tinytl {
namespace {

class Allocation : public testing::TestWithParam<OpCase> {};

TEST_P(Allocation, AStepUsesNoHeap) {
  std::mt19937 rng(1);
  const Operands operands = random_operands(GetParam(), rng);
  const GradGraph g = gradient_graph(GetParam(), wanted_sets(GetParam()).back());
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    Executor executor(g.graph, {.kernels = kernels, .arena = nullptr});
    write_operands(executor, g, operands);
    const size_t before = heap_allocations();
    executor.step();
    EXPECT_EQ(heap_allocations(), before) << kernels->name;
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, Allocation, testing::ValuesIn(op_cases()),
                         [](const auto& test) { return test.param.label; });

}  // namespace
}  // namespace tinytl

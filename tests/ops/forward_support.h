// Forward values of all cases of an operator against an independent formula.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "tests/ops/support.h"

namespace tinytl {

using Floats = std::vector<float>;
using Ints = std::vector<int64_t>;

inline TensorType f32(Shape shape) { return {DType::kF32, std::move(shape)}; }

inline Floats run(const OpDef& op, const std::vector<std::pair<Shape, Floats>>& inputs,
                  Attributes attributes = {}, const tt_kernels& kernels = tt_portable_kernels) {
  OpCase c{"test", &op, {}, std::move(attributes)};
  Operands operands;
  for (const auto& [shape, values] : inputs) {
    c.inputs.push_back(f32(shape));
    operands.f32.push_back(values);
    operands.i32.emplace_back();
  }
  return run_forward(c, operands, kernels);
}

inline Floats iota(int64_t n) {
  Floats values(static_cast<size_t>(n));
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  return values;
}

inline Ints coordinates(int64_t flat, const Shape& shape) {
  Ints at(shape.size());
  for (size_t d = shape.size(); d-- > 0; flat /= shape[d]) at[d] = flat % shape[d];
  return at;
}

// The element of an operand of `shape` that belongs to coordinates of the output: right-aligned,
// dimensions of 1 repeated.
inline size_t broadcast_index(const Ints& at, const Shape& shape) {
  int64_t flat = 0;
  for (size_t d = 0; d < shape.size(); ++d) {
    const int64_t coordinate = at[at.size() - shape.size() + d];
    flat = flat * shape[d] + (shape[d] == 1 ? 0 : coordinate);
  }
  return static_cast<size_t>(flat);
}

// The expected output of one case, element by element.
using Reference =
    std::function<double(const OpCase&, const Operands&, const Ints& at, const Shape& out)>;

inline void expect_all_cases_match(const OpDef& op, const Reference& reference) {
  int cases = 0;
  for (const OpCase& c : op_cases()) {
    if (c.op != &op) continue;
    SCOPED_TRACE(c.label);
    ++cases;
    std::mt19937 rng(5);
    const Operands operands = random_operands(c, rng);
    const OpGraph g = forward_graph(c);
    const Shape out = g.graph.value(g.output).type.shape;
    Floats expected;
    for (int64_t i = 0; i < g.graph.value(g.output).type.elements(); ++i) {
      expected.push_back(static_cast<float>(reference(c, operands, coordinates(i, out), out)));
    }
    EXPECT_THAT(run_forward(c, operands, tt_portable_kernels),
                testing::Pointwise(testing::FloatNear(2e-5f), expected));
    EXPECT_THAT(run_forward(c, operands, *tt_best_kernels()),
                testing::Pointwise(testing::FloatNear(2e-5f), expected));
  }
  EXPECT_GT(cases, 0);
}

}  // namespace tinytl

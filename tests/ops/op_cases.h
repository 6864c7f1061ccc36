// Small examples of every differentiable operator. Shared by the tests of this folder.
#pragma once

#include <string>
#include <vector>

#include "engine/ops/op_table.h"

namespace tinytl {

struct OpCase {
  std::string label;
  const OpDef* op;
  std::vector<TensorType> inputs;
  Attributes attributes = {};

  // f32 inputs are drawn from [low, high], at least 0.1 away from every kink of the operator.
  float low = -1.0f, high = 1.0f;
  std::vector<float> kinks = {};
  // Draw the f32 inputs as distinct multiples of 0.1 instead, so that a maximum is unique.
  bool distinct = false;
  int32_t i32_below = 1 << 30;
};

// For GoogleTest, which prints the parameter of a failing test.
void PrintTo(const OpCase& op_case, std::ostream* out);

const std::vector<OpCase>& op_cases();
// The case of that label; it must exist.
const OpCase& op_case(const std::string& label);

}  // namespace tinytl

#include "tests/ops/support.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace tinytl {
namespace {

float draw(const OpCase& op_case, std::mt19937& rng) {
  constexpr float kMargin = 0.1f;
  std::uniform_real_distribution<float> uniform(op_case.low, op_case.high);
  for (;;) {
    const float v = uniform(rng);
    const bool near_kink = std::any_of(op_case.kinks.begin(), op_case.kinks.end(),
                                       [&](float k) { return std::abs(v - k) < kMargin; });
    if (!near_kink) return v;
  }
}

std::vector<float> random_f32(const OpCase& op_case, size_t count, std::mt19937& rng) {
  std::vector<float> values(count);
  if (op_case.distinct) {
    for (size_t i = 0; i < count; ++i) values[i] = 0.1f * static_cast<float>(i);
    std::shuffle(values.begin(), values.end(), rng);
  } else {
    for (float& v : values) v = draw(op_case, rng);
  }
  return values;
}

}  // namespace

Operands random_operands(const OpCase& op_case, std::mt19937& rng) {
  Operands operands;
  for (const TensorType& type : op_case.inputs) {
    const auto count = static_cast<size_t>(type.elements());
    operands.f32.emplace_back();
    operands.i32.emplace_back();
    if (type.dtype == DType::kI32) {
      std::uniform_int_distribution<int32_t> uniform(0, op_case.i32_below - 1);
      for (size_t i = 0; i < count; ++i) operands.i32.back().push_back(uniform(rng));
    } else {
      operands.f32.back() = random_f32(op_case, count, rng);
    }
  }
  return operands;
}

OpGraph forward_graph(const OpCase& op_case) {
  OpGraph g;
  for (size_t i = 0; i < op_case.inputs.size(); ++i) {
    TensorType type = op_case.inputs[i];
    const bool is_bits = type.dtype == DType::kBit;
    if (is_bits) type.dtype = DType::kF32;
    const std::string name = "in" + std::to_string(i);
    const bool is_overwritten = (op_case.op->mutates >> i & 1) != 0;
    const ValueId input = is_overwritten ? g.graph.add_persistent(name, Role::kStatistic,
                                                                  std::make_shared<Tensor>(type))
                                         : g.graph.add_input(name, type);
    g.inputs.push_back(input);
    g.operands.push_back(
        is_bits ? emit(g.graph, kClipMask, "mask", {input},
                       {{"low", 0.0f}, {"high", std::numeric_limits<float>::infinity()}})
                : input);
  }
  g.output = emit(g.graph, *op_case.op, op_case.label, g.operands, op_case.attributes);
  g.node = g.graph.value(g.output).producer;
  return g;
}

GradGraph gradient_graph(const OpCase& op_case, const std::vector<bool>& wanted,
                         const std::vector<int64_t>& channels) {
  GradGraph g{forward_graph(op_case), {}, {}};
  g.dy = g.graph.add_input("dy", g.graph.value(g.output).type);
  GradBuilder builder(g.graph, g.node, wanted, {g.dy}, {{}, channels});
  op_case.op->vjp(builder);
  g.gradients = builder.gradients();
  for (const auto& gradient : g.gradients) {
    if (gradient.has_value()) g.graph.outputs.push_back(*gradient);
  }
  return g;
}

void write_operands(const Executor& executor, const OpGraph& g, const Operands& operands) {
  for (size_t i = 0; i < g.inputs.size(); ++i) {
    if (executor.graph().value(g.inputs[i]).type.dtype == DType::kI32) {
      const auto to = executor.i32(g.inputs[i]);
      std::copy_n(operands.i32[i].begin(), to.size(), to.begin());
    } else {
      const auto to = executor.f32(g.inputs[i]);
      std::copy_n(operands.f32[i].begin(), to.size(), to.begin());
    }
  }
}

std::vector<float> run_forward(const OpCase& op_case, const Operands& operands,
                               const tt_kernels& kernels) {
  OpGraph g = forward_graph(op_case);
  g.graph.outputs = {g.output};
  Executor executor(g.graph, {.kernels = &kernels, .arena = nullptr});
  write_operands(executor, g, operands);
  executor.step();
  const auto y = executor.f32(g.output);
  return {y.begin(), y.end()};
}

std::string saved_values(const OpCase& op_case, const std::vector<bool>& wanted,
                         const std::vector<int64_t>& channels) {
  const GradGraph g = gradient_graph(op_case, wanted, channels);
  std::vector<bool> after_dy(g.graph.values().size(), false);
  std::vector<bool> saved(g.graph.values().size(), false);
  after_dy[index(g.dy)] = true;
  for (const Node& node : g.graph.nodes()) {
    const auto depends = [&](ValueId id) { return bool{after_dy[index(id)]}; };
    if (!std::any_of(node.inputs.begin(), node.inputs.end(), depends)) continue;
    for (const ValueId id : node.inputs) saved[index(id)] = true;
    for (const ValueId id : node.outputs) after_dy[index(id)] = true;
  }
  std::string text;
  for (size_t v = 0; v < saved.size(); ++v) {
    if (!saved[v] || after_dy[v]) continue;
    const ValueId id{static_cast<uint32_t>(v)};
    const auto operand = std::find(g.operands.begin(), g.operands.end(), id);
    if (!text.empty()) text += ' ';
    if (operand != g.operands.end()) {
      text += "in" + std::to_string(operand - g.operands.begin());
    } else {
      text += id == g.output ? "y" : to_string(g.graph.value(id).type);
    }
  }
  return text;
}

std::vector<std::vector<bool>> wanted_sets(const OpCase& op_case) {
  std::vector<std::vector<bool>> sets{std::vector<bool>(op_case.inputs.size(), false)};
  for (size_t i = 0; i < op_case.inputs.size(); ++i) {
    const bool is_overwritten = (op_case.op->mutates >> i & 1) != 0;
    if (op_case.inputs[i].dtype != DType::kF32 || is_overwritten) continue;
    const size_t count = sets.size();
    for (size_t s = 0; s < count; ++s) {
      sets.push_back(sets[s]);
      sets.back()[i] = true;
    }
  }
  sets.erase(sets.begin());
  return sets;
}

}  // namespace tinytl

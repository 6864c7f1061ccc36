// Operators that divide their work: the parts together give the bits of the whole.

#include <gtest/gtest.h>

#include <cstring>

#include "tests/ops/support.h"

namespace tinytl {
namespace {

using Bytes = std::vector<std::byte>;

class Parts : public testing::TestWithParam<OpCase> {};

std::vector<OpCase> cases_in_parts() {
  std::vector<OpCase> cases = op_cases();
  std::erase_if(cases, [](const OpCase& c) { return !c.op->divides; });
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Ops, Parts, testing::ValuesIn(cases_in_parts()),
                         [](const auto& test) { return test.param.label; });

Bytes random_bytes(const TensorType& type, const OpCase& c, std::mt19937& rng) {
  Bytes bytes(type.bytes());
  if (type.dtype == DType::kF32) {
    std::uniform_real_distribution<float> real(c.low, c.high);
    for (size_t i = 0; i < bytes.size(); i += sizeof(float)) {
      const float value = real(rng);
      std::memcpy(&bytes[i], &value, sizeof value);
    }
  } else if (type.dtype == DType::kI32) {
    for (size_t i = 0; i < bytes.size(); i += sizeof(int32_t)) {
      const auto value = static_cast<int32_t>(rng() % static_cast<uint32_t>(c.i32_below));
      std::memcpy(&bytes[i], &value, sizeof value);
    }
  } else if (type.dtype == DType::kBit) {
    for (std::byte& b : bytes) b = static_cast<std::byte>(rng() & 255);
  }
  return bytes;
}

// The outputs and then the inputs after a run in `count` parts.
std::vector<Bytes> run_parts(const OpCase& c, std::vector<Bytes> inputs, int count) {
  OpGraph g = forward_graph(c);
  const Node& node = g.graph.node(g.node);
  std::vector<TensorType> in_types, out_types;
  for (const ValueId id : node.inputs) in_types.push_back(g.graph.value(id).type);
  for (const ValueId id : node.outputs) out_types.push_back(g.graph.value(id).type);
  std::vector<Bytes> outputs;
  for (const TensorType& type : out_types) outputs.emplace_back(type.bytes());
  std::vector<Operand> in, out;
  for (size_t i = 0; i < inputs.size(); ++i) in.push_back({&in_types[i], inputs[i].data()});
  for (size_t i = 0; i < outputs.size(); ++i) out.push_back({&out_types[i], outputs[i].data()});
  const tt_kernels& kernels = *tt_best_kernels();
  const size_t bytes =
      c.op->scratch_bytes == nullptr ? 0 : c.op->scratch_bytes(node, in_types, kernels);
  for (int part = 0; part < count; ++part) {
    std::vector<std::max_align_t> scratch(bytes / sizeof(std::max_align_t) + 1);
    c.op->forward(node, KernelArgs(&kernels, in, out, scratch.data(), {part, count}));
  }
  outputs.insert(outputs.end(), inputs.begin(), inputs.end());
  return outputs;
}

TEST_P(Parts, GiveTheBitsOfTheWhole) {
  const OpCase& c = GetParam();
  std::mt19937 rng(1);
  std::vector<Bytes> inputs;
  for (const TensorType& type : c.inputs) inputs.push_back(random_bytes(type, c, rng));
  const auto whole = run_parts(c, inputs, 1);
  for (const int count : {2, 3, 7}) {
    EXPECT_TRUE(run_parts(c, inputs, count) == whole) << count << " parts";
  }
}

}  // namespace
}  // namespace tinytl

// Operators that overwrite an input with work: the bits must be those of the result beside it.

#include <gtest/gtest.h>

#include "engine/ops/op_table.h"
#include "tests/kernels/support.h"

namespace tinytl {
namespace {

class InPlace : public Kernels {
 protected:
  // The result of `op` on `inputs`; over input 0 where `overwrite`.
  Buffer run(const OpDef& op, const Node& node, const std::vector<TensorType>& types,
             const std::vector<Buffer>& inputs, bool overwrite) const {
    const OutputTypes out = op.infer(node, types);
    std::vector<Buffer> copies = inputs;
    Buffer y(out[0].elements());
    std::vector<Operand> in;
    for (size_t i = 0; i < copies.size(); ++i) in.push_back({&types[i], copies[i].get()});
    const Operand result{&out[0], overwrite ? copies[0].get() : y.get()};
    size_t bytes = 0;
    if (overwrite && op.in_place_scratch != nullptr) {
      bytes = op.in_place_scratch(node, types, kernels()).value();
    } else if (op.scratch_bytes != nullptr) {
      bytes = op.scratch_bytes(node, types, kernels());
    }
    Buffer scratch = scratch_of(bytes);
    op.forward(node, KernelArgs(&kernels(), in, {&result, 1}, scratch.get()));
    return overwrite ? copies[0] : y;
  }

  // `node` computes output 0 over input 0 and beside it.
  void expect_same_bits(const OpDef& op, Node node, const std::vector<Shape>& shapes,
                        Random& random) const {
    std::vector<TensorType> types;
    std::vector<Buffer> inputs;
    for (const Shape& shape : shapes) {
      types.push_back({DType::kF32, shape});
      inputs.push_back(random.buffer(types.back().elements()));
      node.inputs.push_back(ValueId(node.inputs.size()));
    }
    node.op = &op;
    EXPECT_TRUE(run(op, node, types, inputs, true) == run(op, node, types, inputs, false));
  }

  // Depthwise convolution of x with stride 1 and its input gradient.
  void check_depthwise(const Shape& x, const Shape& w, std::vector<int64_t> pads,
                       std::vector<int64_t> dilations, Random& random) const {
    SCOPED_TRACE(to_string(x) + " kernel " + to_string(w) + " pads " + to_string(pads) +
                 " dilations " + to_string(dilations));
    Node node;
    node.attributes = {{"strides", std::vector<int64_t>{1, 1}},
                       {"pads", std::move(pads)},
                       {"dilations", std::move(dilations)}};
    expect_same_bits(kDepthwiseConv2d, node, {x, w, {x[3]}}, random);
    expect_same_bits(kDepthwiseConv2d, node, {x, w}, random);
    node.attributes.set("shape", x);
    expect_same_bits(kDepthwiseConv2dGradInput, node, {x, w}, random);
  }
};

INSTANTIATE_TEST_SUITE_P(Sets, InPlace, testing::ValuesIn(all_kernel_sets()),
                         [](const auto& test) { return std::string(test.param->name); });

// Any padding that keeps the size, images lower than the kernel among them.
TEST_P(InPlace, DepthwiseOfRandomShapes) {
  Random random(1);
  for (int trial = 0; trial < 300 && !HasFailure(); ++trial) {
    const int64_t kernel = random.pick({1, 2, 3, 3, 5, 7}), width = random.pick({1, 3, 4, 5});
    const int64_t dilation = random.pick({1, 1, 2, 3}), apart = random.pick({1, 2});
    const int64_t rows = (kernel - 1) * dilation, cols = (width - 1) * apart;
    const int64_t top = random.integer(0, static_cast<int32_t>(rows));
    const int64_t left = random.integer(0, static_cast<int32_t>(cols));
    const int64_t channels = random.integer(1, 40);
    check_depthwise({random.integer(1, 3), random.integer(1, 13), random.integer(1, 19), channels},
                    {kernel, width, channels}, {top, left, rows - top, cols - left},
                    {dilation, apart}, random);
  }
}

TEST_P(InPlace, DepthwiseOfMobileNets) {
  Random random(2);
  for (const int64_t kernel : {3, 5, 7}) {
    const int64_t pad = kernel / 2;
    check_depthwise({2, 28, 28, 72}, {kernel, kernel, 72}, {pad, pad, pad, pad}, {1, 1}, random);
    check_depthwise({1, 7, 7, 100}, {kernel, kernel, 100}, {pad, pad, pad, pad}, {1, 1}, random);
  }
}

TEST_P(InPlace, DepthwiseOnlyWhereEveryRowHasItsPlace) {
  const auto can = [&](const OpDef& op, std::vector<int64_t> strides, std::vector<int64_t> pads) {
    Node node;
    node.op = &op;
    node.attributes = {{"strides", std::move(strides)},
                       {"pads", std::move(pads)},
                       {"dilations", std::vector<int64_t>{1, 1}},
                       {"shape", Shape{1, 9, 9, 4}}};
    const std::vector<TensorType> types{{DType::kF32, {1, 9, 9, 4}}, {DType::kF32, {3, 3, 4}}};
    return op.in_place_scratch(node, types, kernels()).has_value();
  };
  for (const OpDef* op : {&kDepthwiseConv2d, &kDepthwiseConv2dGradInput}) {
    EXPECT_TRUE(can(*op, {1, 1}, {1, 1, 1, 1}));
    EXPECT_FALSE(can(*op, {2, 2}, {1, 1, 1, 1}));
    EXPECT_FALSE(can(*op, {1, 1}, {0, 0, 0, 0}));
    EXPECT_FALSE(can(*op, {1, 1}, {2, 2, 2, 2}));
  }
}

TEST_P(InPlace, PointwiseAccumulateOfRandomShapes) {
  Random random(3);
  for (int trial = 0; trial < 60 && !HasFailure(); ++trial) {
    const int64_t n = random.integer(1, 40), k = random.pick({random.integer(1, 40), 300});
    const int64_t transposed = random.integer(0, 1);
    const Shape w = transposed ? Shape{1, 1, n, k} : Shape{1, 1, k, n};
    Node node;
    node.attributes = {{"transposed", transposed}};
    expect_same_bits(kPointwiseAccumulate, node, {{2, 3, 5, n}, {2, 3, 5, k}, w, {n}}, random);
    expect_same_bits(kPointwiseAccumulate, node, {{2, 3, 5, n}, {2, 3, 5, k}, w}, random);
  }
}

}  // namespace
}  // namespace tinytl

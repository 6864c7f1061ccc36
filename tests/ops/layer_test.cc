// Layers and their gradients on every kernel set: computed in parts, with limits and masks at their
// end, and with weights of 8 bits, against the plain node.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "engine/ops/op_table.h"
#include "tests/kernels/support.h"

namespace tinytl {
namespace {

using Bytes = std::vector<std::byte>;

struct Layer {
  const char* label;
  const OpDef* op;
  std::vector<Shape> inputs;
  Attributes attributes;
  int weights = -1;  // the input that may have 8 bits
};

Attributes window(int64_t stride, int64_t pad, int64_t groups = 1, Shape result = {}) {
  Attributes attributes{{"strides", std::vector<int64_t>{stride, stride}},
                        {"pads", std::vector<int64_t>(4, pad)},
                        {"dilations", std::vector<int64_t>{1, 1}},
                        {"groups", groups}};
  if (!result.empty()) attributes.set("shape", result);
  return attributes;
}

const Shape kImage{2, 9, 7, 24}, kHalf{2, 5, 4, 24};
const Attributes kForwardTransposed{{"transpose_a", int64_t{0}}, {"transpose_b", int64_t{1}}};

// Results of 24, 40 or 72 channels; images of odd sizes.
std::vector<Layer> layers() {
  return {
      {"Pointwise", &kConv2d, {kImage, {1, 1, 24, 72}, {72}}, window(1, 0), 1},
      {"PointwiseWide", &kConv2d, {{1, 2, 2, 300}, {1, 1, 300, 168}, {168}}, window(1, 0), 1},
      {"PointwiseSquare", &kConv2d, {kImage, {1, 1, 24, 24}, {24}}, window(1, 0), 1},
      {"Convolution", &kConv2d, {kImage, {3, 3, 24, 40}, {40}}, window(1, 1), 1},
      {"ConvolutionStride2", &kConv2d, {kImage, {3, 3, 24, 40}}, window(2, 1), 1},
      {"ConvolutionGroups", &kConv2d, {kImage, {3, 3, 12, 40}, {40}}, window(1, 1, 2), 1},
      {"Depthwise", &kDepthwiseConv2d, {kImage, {3, 3, 24}, {24}}, window(1, 1), 1},
      {"Depthwise5Stride2", &kDepthwiseConv2d, {kImage, {5, 5, 24}, {24}}, window(2, 2), 1},
      {"Depthwise7", &kDepthwiseConv2d, {kImage, {7, 7, 24}}, window(1, 3), 1},
      {"Linear", &kLinear, {{3, 50}, {50, 136}, {136}}, {}, 1},
      {"Sum", &kAdd, {kImage, kImage}, {}},
      {"Accumulate",
       &kPointwiseAccumulate,
       {kImage, {2, 9, 7, 16}, {1, 1, 16, 24}, {24}},
       {{"transposed", int64_t{0}}},
       2},
      {"AccumulateTransposed",
       &kPointwiseAccumulate,
       {kImage, {2, 9, 7, 16}, {1, 1, 24, 16}},
       {{"transposed", int64_t{1}}},
       2},
  };
}

std::vector<Layer> gradients_of_inputs() {
  return {
      {"Pointwise", &kConv2dGradInput, {{2, 9, 7, 72}, {1, 1, 24, 72}}, window(1, 0, 1, kImage), 1},
      {"Convolution",
       &kConv2dGradInput,
       {{2, 9, 7, 40}, {3, 3, 24, 40}},
       window(1, 1, 1, kImage),
       1},
      {"ConvolutionStride2",
       &kConv2dGradInput,
       {{2, 5, 4, 40}, {3, 3, 24, 40}},
       window(2, 1, 1, kImage),
       1},
      {"ConvolutionGroups",
       &kConv2dGradInput,
       {{2, 9, 7, 40}, {3, 3, 12, 40}},
       window(1, 1, 2, kImage),
       1},
      {"Depthwise", &kDepthwiseConv2dGradInput, {kImage, {3, 3, 24}}, window(1, 1, 1, kImage), 1},
      {"Depthwise5Stride2",
       &kDepthwiseConv2dGradInput,
       {kHalf, {5, 5, 24}},
       window(2, 2, 1, kImage),
       1},
      {"PointwiseDeep",  // its parts differ in columns, and copy weights
       &kConv2dGradInput,
       {{1, 7, 7, 240}, {1, 1, 160, 240}},
       window(1, 0, 1, {1, 7, 7, 160}),
       1},
      {"Linear", &kMatMul, {{3, 136}, {56, 136}}, kForwardTransposed, 1},
      {"Sum", &kAdd, {kImage, kImage}, {}},
      {"Accumulate",
       &kPointwiseAccumulate,
       {kImage, {2, 9, 7, 16}, {1, 1, 24, 16}},
       {{"transposed", int64_t{1}}},
       2},
  };
}

std::vector<Layer> gradients_of_weights() {
  const auto added = [](Attributes attributes) {
    attributes.set("factor", 0.25f);
    return attributes;
  };
  const Shape pointwise{1, 1, 24, 72}, full{3, 3, 24, 40}, grouped{3, 3, 12, 40}, taps{3, 3, 24};
  const Attributes of_pointwise = window(1, 0, 1, pointwise), of_full = window(2, 1, 1, full);
  const Attributes of_grouped = window(1, 1, 2, grouped), of_taps = window(1, 1, 1, taps);
  const Shape wide{2, 9, 7, 72}, small{2, 5, 4, 40}, forty{2, 9, 7, 40};
  return {
      {"Pointwise", &kConv2dGradWeight, {kImage, wide}, of_pointwise},
      {"PointwiseAdd", &kConv2dGradWeightAdd, {pointwise, kImage, wide}, added(of_pointwise)},
      {"Stride2", &kConv2dGradWeight, {kImage, small}, of_full},
      {"Stride2Add", &kConv2dGradWeightAdd, {full, kImage, small}, added(of_full)},
      {"Groups", &kConv2dGradWeight, {kImage, forty}, of_grouped},
      {"GroupsAdd", &kConv2dGradWeightAdd, {grouped, kImage, forty}, added(of_grouped)},
      {"Depthwise", &kDepthwiseConv2dGradWeight, {kImage, kImage}, of_taps},
      {"DepthwiseAdd", &kDepthwiseConv2dGradWeightAdd, {taps, kImage, kImage}, added(of_taps)},
      {"Bias", &kSumTo, {kImage}, {{"shape", Shape{24}}}},
  };
}

// A node with operands of its own.
class Call {
 public:
  Call(const Layer& layer, Random& random) {
    node_.op = layer.op;
    node_.attributes = layer.attributes;
    for (const Shape& shape : layer.inputs) {
      const TensorType type{DType::kF32, shape};
      const Buffer values = random.buffer(type.elements());
      add(type, values.get());
    }
  }

  void add(const TensorType& type, const void* data) {
    node_.inputs.push_back(ValueId(types_.size()));
    types_.push_back(type);
    inputs_.emplace_back(type.bytes());
    std::memcpy(inputs_.back().data(), data, type.bytes());
  }
  void set(const char* name, Attributes::Value value) { node_.attributes.set(name, value); }

  // Weights of 8 bits in the place of input `i`, and in `plain` what they stand for.
  void quantize(size_t i, Call& plain, Random& random) {
    const TensorType type{DType::kQ8, types_[i].shape};
    Bytes bytes(type.bytes());
    auto* q = reinterpret_cast<int8_t*>(bytes.data());
    auto* scale = reinterpret_cast<float*>(bytes.data() + type.scale_offset());
    auto* w = reinterpret_cast<float*>(plain.inputs_[i].data());
    const int64_t channels = type.shape.back();
    for (int64_t c = 0; c < channels; ++c) scale[c] = 0.001f * static_cast<float>(c % 7 + 1);
    for (int64_t j = 0; j < type.elements(); ++j) {
      q[j] = static_cast<int8_t>(random.integer(-127, 127));
      w[j] = static_cast<float>(q[j]) * scale[j % channels];
    }
    types_[i] = type;
    inputs_[i] = std::move(bytes);
  }

  // The outputs, or, of an operator that has none, the input it changes. Over input 0 if
  // `in_place`.
  std::vector<Bytes> run(const tt_kernels& kernels, int parts = 1, bool in_place = false) const {
    const OutputTypes out_types = node_.op->infer(node_, types_);
    std::vector<Bytes> inputs = inputs_, outputs;
    std::vector<Operand> in, out;
    for (size_t i = 0; i < inputs.size(); ++i) in.push_back({&types_[i], inputs[i].data()});
    outputs.reserve(out_types.size());
    for (const TensorType& type : out_types) {
      outputs.emplace_back(type.bytes(), std::byte{0xa5});
      out.push_back({&type, outputs.back().data()});
    }
    if (in_place) out[0].data = inputs[0].data();
    size_t scratch = 0;
    if (node_.op->scratch_bytes) scratch = node_.op->scratch_bytes(node_, types_, kernels);
    if (in_place && node_.op->in_place_scratch) {
      scratch = node_.op->in_place_scratch(node_, types_, kernels).value();
    }
    for (int part = 0; part < parts; ++part) {
      Buffer own = scratch_of(scratch);
      node_.op->forward(node_, KernelArgs(&kernels, in, out, own.get(), {part, parts}));
    }
    if (in_place) outputs[0] = inputs[0];
    return outputs.empty() ? std::vector<Bytes>{inputs[0]} : outputs;
  }

  // The gradient by itself, of the same x and dy.
  Call without_sum(const Layer& layer) const {
    Random random(1);
    Call plain({"", layer.op, {}, layer.attributes}, random);
    for (size_t i = 1; i < types_.size(); ++i) plain.add(types_[i], inputs_[i].data());
    return plain;
  }
  const Bytes& input(size_t i) const { return inputs_[i]; }

  TensorType result() const { return node_.op->infer(node_, types_).at(0); }
  bool can_work_in_place(const tt_kernels& kernels) const {
    return node_.op->in_place_scratch &&
           node_.op->in_place_scratch(node_, types_, kernels).has_value();
  }

 private:
  Node node_;
  std::vector<TensorType> types_;
  std::vector<Bytes> inputs_;
};

std::span<const float> floats(const Bytes& bytes) {
  return {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)};
}

class Layers : public Kernels {
 protected:
  Bytes after(const OpDef& op, const Bytes& x, const Bytes* other, const TensorType& type,
              DType other_type) const {
    Random random(1);
    Call call({"", &op, {}, limits()}, random);
    call.add(type, x.data());
    if (other) call.add({other_type, type.shape}, other->data());
    return call.run(kernels())[0];
  }
  static Attributes limits() { return {{"low", -0.2f}, {"high", 0.5f}}; }
};

INSTANTIATE_TEST_SUITE_P(Sets, Layers, testing::ValuesIn(all_kernel_sets()),
                         [](const auto& test) { return std::string(test.param->name); });

TEST_P(Layers, PartsMakeTheSameBits) {
  Random random(1);
  std::vector<Layer> all = layers();
  for (const auto& more : {gradients_of_inputs(), gradients_of_weights()}) {
    all.insert(all.end(), more.begin(), more.end());
  }
  for (const Layer& layer : all) {
    SCOPED_TRACE(std::string(layer.op->name) + " " + layer.label);
    EXPECT_TRUE(layer.op->divides);
    const Call call(layer, random);
    for (const bool in_place : {false, true}) {
      if (in_place && !call.can_work_in_place(kernels())) continue;
      const std::vector<Bytes> whole = call.run(kernels());
      for (const int parts : {1, 2, 3, 4, 9}) {
        EXPECT_EQ(call.run(kernels(), parts, in_place), whole) << parts << " parts";
      }
    }
  }
}

TEST_P(Layers, EndWithLimitsAndAMask) {
  const Attributes ends = limits();
  Random random(2);
  for (const Layer& layer : layers()) {
    SCOPED_TRACE(std::string(layer.op->name) + " " + layer.label);
    Call call(layer, random);
    const TensorType type = call.result();
    const Bytes plain = call.run(kernels())[0];
    const Bytes clipped = after(kClip, plain, nullptr, type, {});
    const Bytes mask = after(kClipMask, clipped, nullptr, type, {});
    for (const auto& [name, value] : ends.items()) call.set(name.c_str(), value);
    EXPECT_EQ(call.run(kernels())[0], clipped);
    call.set("mask", int64_t{1});
    for (const int parts : {1, 3}) {
      EXPECT_EQ(call.run(kernels(), parts), (std::vector<Bytes>{clipped, mask}));
      if (!call.can_work_in_place(kernels())) continue;
      EXPECT_EQ(call.run(kernels(), parts, true), (std::vector<Bytes>{clipped, mask}));
    }
  }
}

TEST_P(Layers, GradientsStopBehindAnActivation) {
  const Attributes ends = limits();
  Random random(3);
  for (const Layer& layer : gradients_of_inputs()) {
    SCOPED_TRACE(std::string(layer.op->name) + " " + layer.label);
    const Call plain(layer, random);
    const TensorType type = plain.result();
    const Bytes dx = plain.run(kernels())[0];
    const Buffer y = random.buffer(type.elements());
    Bytes values(type.bytes());
    std::memcpy(values.data(), y.get(), values.size());
    const Bytes mask = after(kClipMask, values, nullptr, type, {});

    Call masked = plain;
    masked.set("keep", int64_t{1});
    masked.add({DType::kBit, type.shape}, mask.data());
    const Bytes by_mask = after(kMaskApply, dx, &mask, type, DType::kBit);
    Call within = plain;
    within.set("keep", int64_t{1});
    for (const auto& [name, value] : ends.items()) within.set(name.c_str(), value);
    within.add(type, values.data());
    const Bytes by_value = after(kClipGrad, dx, &values, type, DType::kF32);
    EXPECT_EQ(by_mask, by_value);
    for (const int parts : {1, 3}) {
      EXPECT_EQ(masked.run(kernels(), parts)[0], by_mask);
      EXPECT_EQ(within.run(kernels(), parts)[0], by_value);
      if (!masked.can_work_in_place(kernels())) continue;
      EXPECT_EQ(masked.run(kernels(), parts, true)[0], by_mask);
      EXPECT_EQ(within.run(kernels(), parts, true)[0], by_value);
    }
  }
}

TEST_P(Layers, ReadWeightsOf8Bits) {
  Random random(4);
  std::vector<Layer> all = layers();
  for (const Layer& layer : gradients_of_inputs()) all.push_back(layer);
  for (const Layer& layer : all) {
    if (layer.weights < 0) continue;
    SCOPED_TRACE(std::string(layer.op->name) + " " + layer.label);
    Call plain(layer, random), quantized = plain;
    quantized.quantize(static_cast<size_t>(layer.weights), plain, random);
    const Bytes want = plain.run(kernels())[0];
    for (const int parts : {1, 3}) {
      const Bytes got = quantized.run(kernels(), parts)[0];
      ASSERT_EQ(got.size(), want.size());
      for (size_t i = 0; i < floats(want).size(); ++i) {
        const float w = floats(want)[i];
        ASSERT_NEAR(floats(got)[i], w, 2e-5f * std::max(1.0f, std::abs(w))) << i;
      }
    }
  }
}

TEST_P(Layers, AddGradientsOfWeightsToASum) {
  Random random(5);
  const std::vector<Layer> all = gradients_of_weights();
  for (size_t i = 0; i + 1 < all.size(); i += 2) {
    SCOPED_TRACE(all[i].label);
    const Call added(all[i + 1], random), plain = added.without_sum(all[i]);
    const std::span<const float> start = floats(added.input(0));
    const Bytes sum = added.run(kernels())[0], dw = plain.run(kernels())[0];
    for (size_t j = 0; j < start.size(); ++j) {
      const float want = start[j] + 0.25f * floats(dw)[j];
      ASSERT_NEAR(floats(sum)[j], want, 2e-5f * std::max(1.0f, std::abs(floats(dw)[j]))) << j;
    }
  }
}

}  // namespace
}  // namespace tinytl

// Operators on gradients in 8 bits: what they compute in f32, rounded once a row, in any number of
// parts and in place.

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

#include "engine/ops/op_table.h"
#include "engine/ops/row_codes.h"

namespace tinytl {
namespace {

using Bytes = std::vector<std::byte>;
using Numbers = std::vector<float>;
using Ints = std::vector<int64_t>;

// A node as it is in floats; `row8`: bit i, input i is held in 8 bits; bit 31, so is the output.
struct Row8Case {
  const char* label;
  const OpDef* op;
  std::vector<TensorType> inputs;
  Attributes attributes;
  uint32_t row8;
};
constexpr uint32_t kOut = 1u << 31;

void PrintTo(const Row8Case& c, std::ostream* out) { *out << c.label; }

TensorType f32(Shape shape) { return {DType::kF32, std::move(shape)}; }
TensorType q8(Shape shape) { return {DType::kQ8, std::move(shape)}; }
TensorType i8(Shape shape) { return {DType::kI8, std::move(shape)}; }
TensorType bit(Shape shape) { return {DType::kBit, std::move(shape)}; }

Attributes layer(Ints strides, Ints pads, Shape shape, Attributes more = {}) {
  Attributes a{{"strides", std::move(strides)},
               {"pads", std::move(pads)},
               {"dilations", Ints{1, 1}},
               {"groups", int64_t{1}},
               {"shape", std::move(shape)}};
  for (const auto& [name, value] : more.items()) a.set(name, value);
  return a;
}

const Attributes kKeep{{"keep", int64_t{1}}};
const Attributes kLevels{{"x_scale", 0.05f}, {"x_zero", int64_t{-7}}};
const Ints kSame1{0, 0, 0, 0}, kSame3{1, 1, 1, 1}, kSame7{3, 3, 3, 3};

std::vector<Row8Case> input_gradients() {
  const OpDef *conv = &kConv2dGradInput, *depthwise = &kDepthwiseConv2dGradInput;
  return {
      {"Pointwise",
       conv,
       {f32({2, 9, 5, 24}), q8({1, 1, 10, 24})},
       layer({1, 1}, kSame1, {2, 9, 5, 10}),
       kOut | 1},
      {"PointwiseKept",
       conv,
       {f32({1, 30, 31, 24}), q8({1, 1, 24, 24}), bit({1, 30, 31, 24})},
       layer({1, 1}, kSame1, {1, 30, 31, 24}, kKeep),
       kOut | 1},
      {"PointwiseFromFloats",
       conv,
       {f32({1, 5, 5, 16}), q8({1, 1, 8, 16})},
       layer({1, 1}, kSame1, {1, 5, 5, 8}),
       kOut},
      {"PointwiseToFloats",
       conv,
       {f32({1, 15, 15, 16}), q8({1, 1, 8, 16})},
       layer({1, 1}, kSame1, {1, 15, 15, 8}),
       1},
      {"Dense",
       conv,
       {f32({2, 20, 21, 16}), q8({3, 3, 8, 16}), bit({2, 40, 41, 8})},
       layer({2, 2}, kSame3, {2, 40, 41, 8}, kKeep),
       kOut | 1},
      {"DenseToFloats",
       conv,
       {f32({1, 20, 21, 5}), q8({3, 3, 7, 5})},
       layer({1, 1}, kSame3, {1, 20, 21, 7}),
       1},
      {"Depthwise",
       depthwise,
       {f32({2, 9, 8, 24}), q8({3, 3, 24}), bit({2, 9, 8, 24})},
       layer({1, 1}, kSame3, {2, 9, 8, 24}, kKeep),
       kOut | 1},
      {"DepthwiseInBlocks",
       depthwise,
       {f32({2, 33, 31, 72}), q8({7, 7, 72}), bit({2, 33, 31, 72})},
       layer({1, 1}, kSame7, {2, 33, 31, 72}, kKeep),
       kOut | 1},
      {"DepthwiseLow",
       depthwise,
       {f32({1, 2, 2, 40}), q8({7, 7, 40})},
       layer({1, 1}, kSame7, {1, 2, 2, 40}),
       kOut | 1},
      {"DepthwiseStride2",
       depthwise,
       {f32({1, 21, 20, 44}), q8({5, 5, 44})},
       layer({2, 2}, {1, 1, 2, 2}, {1, 42, 40, 44}),
       kOut | 1},
      {"DepthwiseFromFloats",
       depthwise,
       {f32({1, 21, 20, 40}), q8({5, 5, 40})},
       layer({2, 2}, {2, 2, 2, 2}, {1, 41, 39, 40}),
       kOut},
      {"DepthwiseToFloats",
       depthwise,
       {f32({1, 40, 40, 40}), q8({5, 5, 40})},
       layer({1, 1}, {2, 2, 2, 2}, {1, 40, 40, 40}),
       1},
  };
}

std::vector<Row8Case> maps() {
  const Attributes transposed{{"transposed", int64_t{1}}};
  Attributes kept = transposed;
  kept.set("keep", int64_t{1});
  const Shape big{2, 25, 24, 40};
  return {
      {"Accumulate",
       &kPointwiseAccumulate,
       {f32({2, 9, 9, 10}), f32({2, 9, 9, 24}), q8({1, 1, 10, 24})},
       transposed,
       kOut | 3},
      {"AccumulateKept",
       &kPointwiseAccumulate,
       {f32(big), f32({2, 25, 24, 64}), q8({1, 1, 40, 64}), bit(big)},
       kept,
       kOut | 3},
      {"AccumulateOnFloats",
       &kPointwiseAccumulate,
       {f32({2, 9, 9, 10}), f32({2, 9, 9, 24}), q8({1, 1, 10, 24})},
       transposed,
       2},
      {"Add", &kAdd, {f32({2, 7, 7, 11}), f32({2, 7, 7, 11})}, {}, kOut | 3},
      {"AddKept", &kAdd, {f32(big), f32(big), bit(big)}, kKeep, kOut | 3},
      {"AddFirst", &kAdd, {f32(big), f32(big)}, {}, 1},
      {"AddSecond", &kAdd, {f32(big), f32(big)}, {}, 2},
      {"AddFloats", &kAdd, {f32(big), f32(big)}, {}, kOut},
      {"Mask", &kMaskApply, {f32(big), bit(big)}, {}, kOut | 1},
      {"MaskOfOddRows", &kMaskApply, {f32({1, 9, 9, 11}), bit({1, 9, 9, 11})}, {}, kOut | 1},
      {"MaskFromFloats", &kMaskApply, {f32({1, 49, 9, 11}), bit({1, 49, 9, 11})}, {}, kOut},
      {"Broadcast", &kBroadcastTo, {f32({2, 1, 1, 40})}, {{"shape", Ints{2, 5, 4, 40}}}, kOut},
      {"MaskToFloats", &kMaskApply, {f32({1, 9, 9, 11}), bit({1, 9, 9, 11})}, {}, 1},
  };
}

std::vector<Row8Case> sums() {
  const OpDef *conv = &kQConv2dGradWeight, *depthwise = &kQDepthwiseConv2dGradWeight;
  const auto grad = [](Ints strides, Ints pads, Shape shape) {
    return layer(std::move(strides), std::move(pads), std::move(shape), kLevels);
  };
  return {
      {"Bias", &kSumTo, {f32({2, 25, 24, 40})}, {{"shape", Ints{40}}}, 1},
      {"Gather",
       &kGather,
       {f32({2, 5, 4, 40})},
       {{"axis", int64_t{3}}, {"indices", Ints{1, 2, 39}}},
       1},
      {"WeightPointwise",
       conv,
       {i8({2, 9, 8, 12}), f32({2, 9, 8, 40})},
       grad({1, 1}, kSame1, {1, 1, 12, 40}),
       2},
      {"WeightPointwiseWide",
       conv,
       {i8({1, 4, 4, 16}), f32({1, 4, 4, 600})},
       grad({1, 1}, kSame1, {1, 1, 16, 600}),
       2},
      {"WeightDense",
       conv,
       {i8({2, 21, 20, 3}), f32({2, 11, 10, 16})},
       grad({2, 2}, kSame3, {3, 3, 3, 16}),
       2},
      {"WeightDepthwise",
       depthwise,
       {i8({2, 33, 31, 72}), f32({2, 33, 31, 72})},
       grad({1, 1}, kSame7, {7, 7, 72}),
       2},
      {"WeightDepthwiseLow",
       depthwise,
       {i8({2, 4, 4, 300}), f32({2, 2, 2, 300})},
       grad({2, 2}, {2, 2, 2, 2}, {5, 5, 300}),
       2},
  };
}

std::vector<Row8Case> all_cases() {
  std::vector<Row8Case> all = input_gradients();
  for (const auto& more : {maps(), sums()}) all.insert(all.end(), more.begin(), more.end());
  return all;
}

Numbers random_numbers(std::mt19937& rng, int64_t n) {
  std::normal_distribution<float> normal;
  Numbers x(static_cast<size_t>(n));
  for (float& v : x) v = normal(rng);
  return x;
}

Bytes bytes_of(const Numbers& x) {
  Bytes bytes(x.size() * sizeof(float));
  std::memcpy(bytes.data(), x.data(), bytes.size());
  return bytes;
}

Numbers numbers_of(const TensorType& type, const Bytes& bytes) {
  Numbers x(static_cast<size_t>(type.elements()));
  if (type.dtype == DType::kF32) {
    std::memcpy(x.data(), bytes.data(), bytes.size());
  } else {
    tt_portable_kernels.decode_rows(reinterpret_cast<const int8_t*>(bytes.data()),
                                    reinterpret_cast<const float*>(&bytes[type.scale_offset()]),
                                    rows_of(type), columns_of(type), columns_of(type), x.data());
  }
  return x;
}

Bytes encoded(const TensorType& type, const Numbers& x) {
  Bytes bytes(type.bytes());
  tt_portable_kernels.encode_rows(x.data(), rows_of(type), columns_of(type),
                                  reinterpret_cast<int8_t*>(bytes.data()),
                                  reinterpret_cast<float*>(&bytes[type.scale_offset()]));
  return bytes;
}

Bytes random_bytes(std::mt19937& rng, const TensorType& type) {
  if (type.dtype == DType::kF32) return bytes_of(random_numbers(rng, type.elements()));
  if (type.dtype == DType::kRow8) return encoded(type, random_numbers(rng, type.elements()));
  Bytes bytes(type.bytes());
  for (std::byte& b : bytes) b = static_cast<std::byte>(rng() & 255);
  for (int64_t c = 0; type.dtype == DType::kQ8 && c < columns_of(type); ++c) {
    const float scale = 0.002f + 0.001f * static_cast<float>(c % 3);
    std::memcpy(&bytes[type.scale_offset() + static_cast<size_t>(c) * 4], &scale, 4);
  }
  return bytes;
}

// As many bytes as were asked for, and some that must stay.
class Scratch {
 public:
  explicit Scratch(size_t bytes) : bytes_(bytes), data_(bytes + kGuard, std::byte{0xa5}) {}
  ~Scratch() {
    for (size_t i = bytes_; i < data_.size(); ++i) EXPECT_EQ(data_[i], std::byte{0xa5}) << i;
  }
  void* get() { return data_.data(); }

 private:
  static constexpr size_t kGuard = 256;
  size_t bytes_;
  Bytes data_;
};

// A node and the bytes of its inputs.
struct Kernel {
  Kernel(const Row8Case& c, bool in_8_bits) : op(c.op), types(c.inputs) {
    node.op = c.op;
    node.attributes = c.attributes;
    for (size_t i = 0; i < types.size(); ++i) {
      node.inputs.push_back(ValueId{static_cast<uint32_t>(i)});
      if (in_8_bits && (c.row8 >> i & 1) != 0) types[i].dtype = DType::kRow8;
    }
    if (in_8_bits && (c.row8 & kOut) != 0) node.attributes.set("row8", int64_t{1});
    out_type = op->infer(node, types).at(0);
  }

  Bytes result(std::vector<Bytes> inputs, const tt_kernels& kernels, int parts = 1,
               std::optional<size_t> over = std::nullopt) const {
    Bytes output(out_type.bytes());
    std::vector<Operand> in;
    for (size_t i = 0; i < inputs.size(); ++i) in.push_back({&types[i], inputs[i].data()});
    Bytes& to = over.has_value() ? inputs[*over] : output;
    const Operand out{&out_type, to.data()};
    size_t bytes = op->scratch_bytes == nullptr ? 0 : op->scratch_bytes(node, types, kernels);
    if (over == 0u && op->in_place_scratch != nullptr) {
      bytes = op->in_place_scratch(node, types, kernels).value();
    }
    for (int part = 0; part < parts; ++part) {
      Scratch scratch(bytes);
      op->forward(node, KernelArgs(&kernels, in, std::span(&out, 1), scratch.get(), {part, parts}));
    }
    return to;
  }

  const OpDef* op;
  Node node;
  std::vector<TensorType> types;
  TensorType out_type;
};

class Row8 : public testing::TestWithParam<Row8Case> {
 protected:
  Row8() : coded(GetParam(), true), floats(GetParam(), false) {
    std::mt19937 rng(1);
    for (size_t i = 0; i < coded.types.size(); ++i) {
      inputs.push_back(random_bytes(rng, coded.types[i]));
      const bool is_coded = coded.types[i].dtype == DType::kRow8;
      decoded.push_back(is_coded ? bytes_of(numbers_of(coded.types[i], inputs[i])) : inputs[i]);
    }
  }

  Kernel coded, floats;
  std::vector<Bytes> inputs, decoded;
};

INSTANTIATE_TEST_SUITE_P(Ops, Row8, testing::ValuesIn(all_cases()),
                         [](const auto& test) { return std::string(test.param.label); });

TEST_P(Row8, IsTheFloatOperatorRoundedOnceARow) {
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    const Numbers want = numbers_of(floats.out_type, floats.result(decoded, *kernels));
    const Numbers got = numbers_of(coded.out_type, coded.result(inputs, *kernels));
    const bool is_rounded = coded.out_type.dtype == DType::kRow8;
    const bool keeps_scales = coded.op == &kMaskApply;  // exact, whatever the mask leaves
    const auto columns = static_cast<size_t>(columns_of(coded.out_type));
    ASSERT_EQ(got.size(), want.size());
    float all = 0;
    for (const float v : want) all = std::max(all, std::abs(v));
    for (size_t r = 0; r < want.size(); r += columns) {
      float most = 0;
      for (size_t c = 0; c < columns; ++c) most = std::max(most, std::abs(want[r + c]));
      float bound = 1e-5f * all;
      if (is_rounded && !(keeps_scales && is_row8(coded.types[0]))) bound += most / 127 / 2;
      for (size_t c = 0; c < columns; ++c) ASSERT_NEAR(got[r + c], want[r + c], bound) << r + c;
    }
  }
}

TEST_P(Row8, PartsGiveTheBitsOfTheWhole) {
  if (!coded.op->divides) GTEST_SKIP() << "does not divide";
  const Bytes whole = coded.result(inputs, *tt_best_kernels());
  for (const int parts : {2, 3, 7}) {
    EXPECT_TRUE(coded.result(inputs, *tt_best_kernels(), parts) == whole) << parts;
  }
}

TEST_P(Row8, InPlaceGivesTheSameBits) {
  int places = 0;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const bool may = (coded.op->in_place >> i & 1) != 0 && coded.types[i] == coded.out_type;
    if (!may) continue;
    if (i == 0 && coded.op->in_place_scratch != nullptr &&
        !coded.op->in_place_scratch(coded.node, coded.types, *tt_best_kernels()).has_value()) {
      continue;
    }
    ++places;
    const Bytes apart = coded.result(inputs, *tt_best_kernels());
    for (const int parts : {1, 2, 3}) {
      EXPECT_TRUE(coded.result(inputs, *tt_best_kernels(), parts, i) == apart) << i;
    }
  }
  if (places == 0) GTEST_SKIP() << "never in place";
}

TEST(Row8Update, OfA1x1KernelIsThatOfTheDecodedGradient) {
  std::mt19937 rng(2);
  for (const Shape& shape : {Shape{1, 1, 40, 24}, Shape{1, 1, 7, 600}}) {
    const TensorType x{DType::kI8, {2, 9, 13, shape[2]}}, dy{DType::kF32, {2, 9, 13, shape[3]}};
    Attributes attributes = kLevels;
    attributes.set("qas", int64_t{1});
    attributes.set("stochastic", int64_t{0});
    const TensorType coded_type{DType::kRow8, dy.shape};
    const Bytes coded = random_bytes(rng, coded_type), levels = random_bytes(rng, x);
    const Bytes p = random_bytes(rng, q8(shape));
    const auto updated = [&](const TensorType& type, Bytes gradient, int parts) {
      Node node{.name = "",
                .op = &kQWeightSgdUpdate,
                .inputs = {},
                .outputs = {},
                .attributes = attributes};
      const std::vector<TensorType> types{q8(shape), f32({1}), f32({1}), x, type};
      std::vector<Bytes> data{p, bytes_of({1e-4f}), bytes_of({1}), levels, std::move(gradient)};
      std::vector<Operand> in;
      for (size_t i = 0; i < data.size(); ++i) in.push_back({&types[i], data[i].data()});
      const tt_kernels& kernels = *tt_best_kernels();
      const size_t bytes = node.op->scratch_bytes(node, types, kernels);
      for (int part = 0; part < parts; ++part) {
        Scratch scratch(bytes);
        node.op->forward(node, KernelArgs(&kernels, in, {}, scratch.get(), {part, parts}));
      }
      return data[0];
    };
    const Bytes got = updated(coded_type, coded, 1);
    const Bytes want = updated(dy, bytes_of(numbers_of(coded_type, coded)), 1);
    size_t differ = 0, moved = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      differ += got[i] != want[i];
      moved += got[i] != p[i];
    }
    EXPECT_GT(moved, got.size() / 4);
    EXPECT_LE(differ, 2u);  // sums are taken in another order, which turns a tie now and then
    EXPECT_TRUE(updated(coded_type, coded, 3) == got);
  }
}

TEST(Row8Ops, RefuseWhatIsNotARow) {
  const TensorType rows{DType::kRow8, {2, 3, 8}};
  const auto infer = [](const OpDef& op, std::vector<TensorType> types, Attributes attributes) {
    Node node{
        .name = "n", .op = &op, .inputs = {}, .outputs = {}, .attributes = std::move(attributes)};
    return op.infer(node, types);
  };
  EXPECT_THROW(infer(kSumTo, {rows}, {{"shape", Ints{3, 8}}}), InputError);
  EXPECT_THROW(infer(kGather, {rows}, {{"axis", int64_t{1}}, {"indices", Ints{0}}}), InputError);
  EXPECT_THROW(infer(kBroadcastTo, {f32({3, 1})}, {{"shape", Ints{3, 8}}, {"row8", int64_t{1}}}),
               InputError);
  EXPECT_THROW(infer(kAdd, {rows, f32({8})}, {}), InputError);
}

}  // namespace
}  // namespace tinytl

#include "tinytl/train/network_input.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

Batch every_pixel() {
  Batch batch;
  batch.size = {16, 16, 3};
  batch.count = 1;
  batch.pixels.resize(16 * 16 * 3);
  for (size_t i = 0; i < batch.pixels.size(); ++i) batch.pixels[i] = static_cast<uint8_t>(i / 3);
  return batch;
}

// Whoever writes levels writes what a Quantize node would make of the same numbers.
TEST(NetworkInput, LevelsAreThoseOfARoundedFloatInput) {
  const Normalisation imagenet{{123.675f, 116.28f, 103.53f}, {58.395f, 57.12f, 57.375f}};
  for (const auto& [scale, zero] : {std::pair{0.0078f, int64_t{0}}, {0.02f, -5}, {0.004f, 127}}) {
    for (const Normalisation& normalisation : {Normalisation{}, imagenet}) {
      Graph floats, integers;
      const TensorType type{DType::kF32, {1, 16, 16, 3}};
      const ValueId x = floats.add_input("x", type);
      const ValueId rounded =
          emit(floats, kQuantize, "levels", {x}, {{"y_scale", scale}, {"y_zero", zero}});
      floats.outputs = {rounded};
      const ValueId levels = integers.add_input("x", {DType::kI8, type.shape});
      const ValueId real =
          emit(integers, kDequantize, "real", {levels}, {{"x_scale", scale}, {"x_zero", zero}});
      integers.outputs = {real};

      Executor a(floats), b(integers);
      Batch batch = every_pixel();
      NetworkInput(floats).write(batch, normalisation, a);
      const NetworkInput input(integers);
      input.write(batch, normalisation, b);
      const std::vector<int8_t> got(b.i8(levels).begin(), b.i8(levels).end());
      a.step();
      const auto want = a.i8(rounded);
      EXPECT_EQ(got, std::vector<int8_t>(want.begin(), want.end()));

      // The same numbers, not as pixels.
      batch.floats.resize(batch.pixels.size());
      to_float(batch.pixels, 3, normalisation, batch.floats.data());
      input.write(batch, normalisation, b);
      EXPECT_EQ(got, std::vector<int8_t>(b.i8(levels).begin(), b.i8(levels).end()));
    }
  }
}

}  // namespace
}  // namespace tinytl

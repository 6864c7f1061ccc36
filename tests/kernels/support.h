// Buffers, random shapes and the naive references, in double, of the kernel tests.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "engine/kernels/kernels.h"
#include "engine/kernels/simd/simd.h"

namespace tinytl {

// Exactly `n` elements ending at the end of a heap block, so that ASan sees an overrun, and aligned
// to 4 bytes only, which is all a kernel may rely on.
class Buffer {
 public:
  explicit Buffer(int64_t n) : data_(static_cast<size_t>(n) + 1, kUnwritten) {}
  float* get() { return data_.data() + 1; }
  const float* get() const { return data_.data() + 1; }
  size_t size() const { return data_.size() - 1; }
  float& operator[](size_t i) { return data_[i + 1]; }
  float operator[](size_t i) const { return data_[i + 1]; }
  bool operator==(const Buffer& other) const {
    return size() == other.size() && std::memcmp(get(), other.get(), size() * sizeof(float)) == 0;
  }

  // What no kernel may leave in its output.
  static constexpr float kUnwritten = std::numeric_limits<float>::quiet_NaN();

 private:
  std::vector<float> data_;
};

inline Buffer scratch_of(size_t bytes) {
  return Buffer(static_cast<int64_t>((bytes + sizeof(float) - 1) / sizeof(float)));
}

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  int32_t integer(int32_t low, int32_t high) {
    return low + static_cast<int32_t>(engine_() % static_cast<uint32_t>(high - low + 1));
  }
  template <class T>
  T pick(std::initializer_list<T> values) {
    return values.begin()[integer(0, static_cast<int32_t>(values.size()) - 1)];
  }
  float real() { return static_cast<float>(engine_() % 20001) / 10000.0f - 1.0f; }
  Buffer buffer(int64_t n) {
    Buffer b(n);
    for (size_t i = 0; i < b.size(); ++i) b[i] = real();
    return b;
  }

 private:
  std::mt19937 engine_;
};

// Sums in double, with the sum of magnitudes beside each: the scale of float rounding errors.
struct Sums {
  explicit Sums(int64_t n) : value(static_cast<size_t>(n)), magnitude(static_cast<size_t>(n)) {}
  void add(int64_t i, double term) {
    value[static_cast<size_t>(i)] += term;
    magnitude[static_cast<size_t>(i)] += std::abs(term);
  }
  std::vector<double> value, magnitude;
};

// Float sums of up to some thousand terms stay well within 2e-6 of the sum of their magnitudes.
inline void expect_near(const Buffer& got, const Sums& want) {
  ASSERT_EQ(got.size(), want.value.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want.value[i], 2e-6 * want.magnitude[i] + 1e-12) << "element " << i;
  }
}

inline std::vector<const tt_kernels*> all_kernel_sets() {
  std::vector<const tt_kernels*> sets = simd_kernel_sets();
  sets.push_back(&tt_portable_kernels);
  return sets;
}

class Kernels : public testing::TestWithParam<const tt_kernels*> {
 protected:
  const tt_kernels& kernels() const { return *GetParam(); }
};

}  // namespace tinytl

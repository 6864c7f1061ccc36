// Tensors: element type, shape, and (for parameters and state) the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tinytl {

enum class DType : uint8_t {
  kF32,
  kI32,
  kI8,
  // Frozen weights: 8 bits an element, then (from a multiple of 4 bytes on) one f32 scale for every
  // entry of the last axis: w[..., c] = q[..., c] * scale[c].
  kQ8,
  // Frozen weights: 8 bits an element, then (from a multiple of 4 bytes on) the 256 f32 numbers
  // that they are the index of. A node decodes them (engine/ops/decode_table.cc); kernels do not.
  kTable8,
  // Activations kept for the backward pass (engine/ops/range_code.cc): 8 or 4 bits an element, then
  // (from a multiple of 4 bytes on) for every entry of the last axis the f32 number of code 0, and
  // then for each the step between two codes.
  kRange8,
  kRange4,  // the last axis is even; a byte holds entry c (low bits) and the one half an axis on
  // Gradients of activations (engine/ops/row_codes.h): 8 bits an element, then (from a multiple of
  // 4 bytes on) one f32 scale for every row, the entries along the last axis: x[r, c] = code[r, c]
  // * scale[r].
  kRow8,
  kBit,  // one bit an element, element i is bit i % 8 (from the least significant) of byte i / 8
};

inline constexpr size_t kTableEntries = 256;  // of kTable8

const char* name_of(DType dtype);

using Shape = std::vector<int64_t>;

struct TensorType {
  DType dtype = DType::kF32;
  Shape shape;

  size_t rank() const { return shape.size(); }
  int64_t dim(size_t i) const { return shape.at(i); }
  int64_t elements() const;
  size_t bytes() const;

  // Of the first number behind the elements; kQ8, kTable8, kRange and kRow8 only.
  size_t scale_offset() const {
    const auto n = static_cast<size_t>(elements());
    return ((dtype == DType::kRange4 ? n / 2 : n) + 3) / 4 * 4;
  }

  friend bool operator==(const TensorType&, const TensorType&) = default;
};

std::string to_string(const Shape& shape);      // "[8,112,112,32]"
std::string to_string(const TensorType& type);  // "f32[8,112,112,32]"

// Bytes that outlive a step: a parameter or a state. Zero-filled, aligned to 64 bytes.
//
// Copies of a Graph share their tensors: training writes a parameter in place, and an inference
// graph of the same network sees it without a copy.
class Tensor {
 public:
  explicit Tensor(TensorType type);

  const TensorType& type() const { return type_; }
  std::span<std::byte> bytes() { return {data_.get(), type_.bytes()}; }
  std::span<const std::byte> bytes() const { return {data_.get(), type_.bytes()}; }
  std::span<float> f32();
  std::span<const float> f32() const;
  std::span<int32_t> i32();
  std::span<const int32_t> i32() const;

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  TensorType type_;
  std::unique_ptr<std::byte[], Free> data_;
};

std::shared_ptr<Tensor> make_tensor(Shape shape, std::span<const float> values);

}  // namespace tinytl

// The constants of an ONNX file while it is being imported.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "engine/graph/error.h"
#include "engine/graph/tensor.h"
#include "engine/onnx/external_data.h"

namespace onnx {
class TensorProto;
}

namespace tinytl::internal {

// Wider or narrower types of the file are converted to one of these when they are read; the small
// ones stay small because they are the weights of quantized networks.
enum class ElementType : uint8_t { kF32, kI64, kI32, kI8, kU8 };
inline constexpr bool is_integer(ElementType type) { return type != ElementType::kF32; }

struct Levels;

struct Literal {
  ElementType type = ElementType::kF32;
  Shape shape;
  std::string bytes;  // elements in order, little endian, no padding; or empty, and then
  std::optional<FileRange> file = std::nullopt;    // they are still there (only floats),
  std::shared_ptr<const Levels> levels = nullptr;  // or are what these stand for (only floats)

  int64_t elements() const;
  // Calls f with all elements, piece by piece; `type` must be kF32.
  void for_each_piece(const std::function<void(std::span<const float>)>& f) const;
};
using LiteralPtr = std::shared_ptr<const Literal>;

// Quantized numbers: element i of `of` stands for (of[i] - zero_point[s]) * scale[s], s its slice
// of one axis; one slice where there is one scale.
struct Levels {
  LiteralPtr of;
  std::vector<float> scale;
  std::vector<int64_t> zero_point;
  int64_t inner = 1;  // elements between two slices

  size_t slice(size_t element) const {
    return scale.size() == 1 ? 0 : element / static_cast<size_t>(inner) % scale.size();
  }
};

// The same with its elements in memory.
LiteralPtr loaded(const LiteralPtr& literal);

LiteralPtr make_literal(Shape shape, std::span<const float> values);
LiteralPtr make_literal(Shape shape, std::span<const int64_t> values);

// The elements, converted.
std::vector<float> floats_of(const Literal& literal);
std::vector<int64_t> integers_of(const Literal& literal);
void for_each_integer(const Literal& literal, const std::function<void(int64_t)>& f);
inline int64_t single_integer(const Literal& literal) { return integers_of(literal).at(0); }

// A tensor of more than 2^31 elements, which a smaller batch may mend.
struct TooLarge : InputError {
  explicit TooLarge(const Shape& s);
  Shape shape;
};

// Elements of a shape. Throws InputError for a negative dimension, TooLarge for more than 2^31
// elements.
int64_t checked_elements(const Shape& shape);

// Moves the numbers out of `tensor`, which keeps its name, type and shape and one byte of data: a
// stub that the ONNX checker accepts. Floats outside the message stay in their file for now.
// Throws InputError where the numbers do not fit the shape, or the type is not supported.
LiteralPtr take_literal(onnx::TensorProto& tensor, const ModelFiles& files);

}  // namespace tinytl::internal

#include "engine/graph/tensor.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <new>

#include "engine/graph/error.h"

namespace tinytl {

const char* name_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kI32:
      return "i32";
    case DType::kI8:
      return "i8";
    case DType::kQ8:
      return "q8";
    case DType::kTable8:
      return "table8";
    case DType::kRange8:
      return "range8";
    case DType::kRange4:
      return "range4";
    case DType::kRow8:
      return "row8";
    case DType::kBit:
      return "bit";
  }
  return "?";
}

int64_t TensorType::elements() const {
  int64_t n = 1;
  for (const int64_t d : shape) n *= d;
  return n;
}

size_t TensorType::bytes() const {
  const auto n = static_cast<size_t>(elements());
  switch (dtype) {
    case DType::kF32:
    case DType::kI32:
      return 4 * n;
    case DType::kI8:
      return n;
    case DType::kQ8:
      return scale_offset() +
             (shape.empty() ? 1 : static_cast<size_t>(shape.back())) * sizeof(float);
    case DType::kTable8:
      return scale_offset() + kTableEntries * sizeof(float);
    case DType::kRange8:
    case DType::kRange4:
      return scale_offset() + 2 * static_cast<size_t>(shape.back()) * sizeof(float);
    case DType::kRow8:
      return scale_offset() + n / static_cast<size_t>(shape.back()) * sizeof(float);
    case DType::kBit:
      return (n + 7) / 8;
  }
  return 0;
}

std::string to_string(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ',';
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

std::string to_string(const TensorType& type) {
  return name_of(type.dtype) + to_string(type.shape);
}

// Fresh pages of the system are zero already: what is never written takes no memory. The block's
// own start lies in front of the aligned bytes.
void Tensor::Free::operator()(std::byte* p) const { std::free(reinterpret_cast<void**>(p)[-1]); }

Tensor::Tensor(TensorType type) : type_(std::move(type)) {
  constexpr size_t kAlignment = 64;
  const size_t bytes = (type_.bytes() + kAlignment - 1) / kAlignment * kAlignment;
  void* block = std::calloc(bytes + kAlignment + sizeof(void*), 1);
  if (block == nullptr) throw std::bad_alloc();
  const auto start = reinterpret_cast<uintptr_t>(block) + sizeof(void*);
  const uintptr_t aligned = (start + kAlignment - 1) / kAlignment * kAlignment;
  data_.reset(reinterpret_cast<std::byte*>(aligned));
  reinterpret_cast<void**>(aligned)[-1] = block;
}

std::span<float> Tensor::f32() {
  TT_ASSERT(type_.dtype == DType::kF32);
  return {reinterpret_cast<float*>(data_.get()), static_cast<size_t>(type_.elements())};
}

std::span<const float> Tensor::f32() const { return const_cast<Tensor*>(this)->f32(); }

std::span<int32_t> Tensor::i32() {
  TT_ASSERT(type_.dtype == DType::kI32);
  return {reinterpret_cast<int32_t*>(data_.get()), static_cast<size_t>(type_.elements())};
}

std::span<const int32_t> Tensor::i32() const { return const_cast<Tensor*>(this)->i32(); }

std::shared_ptr<Tensor> make_tensor(Shape shape, std::span<const float> values) {
  auto tensor = std::make_shared<Tensor>(TensorType{DType::kF32, std::move(shape)});
  TT_ASSERT(tensor->f32().size() == values.size());
  std::copy(values.begin(), values.end(), tensor->f32().begin());
  return tensor;
}

}  // namespace tinytl

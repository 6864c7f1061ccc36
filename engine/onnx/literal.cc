#include "engine/onnx/literal.h"

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/graph/error.h"
#include "engine/onnx/external_data.h"

namespace tinytl::internal {
namespace {

using Proto = onnx::TensorProto;

std::string quoted(const Proto& tensor) { return "tensor \"" + tensor.name() + "\""; }

template <typename T>
std::string packed(const T* values, size_t count) {
  return std::string(reinterpret_cast<const char*>(values), count * sizeof(T));
}

// Calls f(element) for every element of `bytes`, an array of T at any alignment.
template <typename T, typename F>
void each(const std::string& bytes, F f) {
  for (size_t i = 0; i + sizeof(T) <= bytes.size(); i += sizeof(T)) {
    T element;
    std::memcpy(&element, bytes.data() + i, sizeof(T));
    f(element);
  }
}

template <typename From, typename To>
std::string converted(const std::string& bytes) {
  std::vector<To> out;
  out.reserve(bytes.size() / sizeof(From));
  each<From>(bytes, [&](From v) { out.push_back(static_cast<To>(v)); });
  return packed(out.data(), out.size());
}

float half_to_float(uint16_t half) {
  const int exponent = (half >> 10) & 31, mantissa = half & 1023;
  float value = 0;
  if (exponent == 31) {
    value = mantissa != 0 ? NAN : INFINITY;
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<float>(mantissa), -24);
  } else {
    value = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  }
  return (half & 0x8000) != 0 ? -value : value;
}

std::string halves_to_floats(const std::string& bytes, bool brain) {
  std::vector<float> out;
  each<uint16_t>(bytes, [&](uint16_t v) {
    out.push_back(brain ? std::bit_cast<float>(uint32_t{v} << 16) : half_to_float(v));
  });
  return packed(out.data(), out.size());
}

// How a type of the file is stored in `raw_data`, and which ElementType it becomes.
struct FileType {
  size_t bytes;
  ElementType becomes;
};

FileType file_type(const Proto& tensor) {
  switch (tensor.data_type()) {
    case Proto::FLOAT:
      return {4, ElementType::kF32};
    case Proto::DOUBLE:
      return {8, ElementType::kF32};
    case Proto::FLOAT16:
    case Proto::BFLOAT16:
      return {2, ElementType::kF32};
    case Proto::INT64:
    case Proto::UINT64:
      return {8, ElementType::kI64};
    case Proto::INT32:
      return {4, ElementType::kI32};
    case Proto::UINT32:
      return {4, ElementType::kI64};
    case Proto::INT16:
    case Proto::UINT16:
      return {2, ElementType::kI32};
    case Proto::INT8:
      return {1, ElementType::kI8};
    case Proto::UINT8:
    case Proto::BOOL:
      return {1, ElementType::kU8};
    default:
      break;
  }
  throw InputError(quoted(tensor) + " has element type " + std::to_string(tensor.data_type()) +
                   ", which is not supported: convert it to float");
}

std::string convert_raw(int32_t type, std::string bytes) {
  switch (type) {
    case Proto::DOUBLE:
      return converted<double, float>(bytes);
    case Proto::FLOAT16:
      return halves_to_floats(bytes, false);
    case Proto::BFLOAT16:
      return halves_to_floats(bytes, true);
    case Proto::UINT32:
      return converted<uint32_t, int64_t>(bytes);
    case Proto::INT16:
      return converted<int16_t, int32_t>(bytes);
    case Proto::UINT16:
      return converted<uint16_t, int32_t>(bytes);
    default:
      return bytes;
  }
}

// The typed fields (float_data, ...) of small or old tensors, in the layout of `raw_data`.
std::string packed_fields(const Proto& t) {
  const auto ints = [&] { return packed(t.int32_data().data(), size_t(t.int32_data_size())); };
  switch (t.data_type()) {
    case Proto::FLOAT:
      return packed(t.float_data().data(), size_t(t.float_data_size()));
    case Proto::DOUBLE:
      return packed(t.double_data().data(), size_t(t.double_data_size()));
    case Proto::INT64:
      return packed(t.int64_data().data(), size_t(t.int64_data_size()));
    case Proto::UINT64:
      return packed(t.uint64_data().data(), size_t(t.uint64_data_size()));
    case Proto::UINT32:
      return converted<uint64_t, uint32_t>(
          packed(t.uint64_data().data(), size_t(t.uint64_data_size())));
    case Proto::INT32:
      return ints();
    case Proto::FLOAT16:
    case Proto::BFLOAT16:
    case Proto::INT16:
    case Proto::UINT16:
      return converted<int32_t, uint16_t>(ints());
    default:
      return converted<int32_t, uint8_t>(ints());
  }
}

// The checker wants some data where there are elements, but does not count it.
void leave_stub(Proto& tensor, bool has_elements) {
  tensor.clear_float_data();
  tensor.clear_double_data();
  tensor.clear_int32_data();
  tensor.clear_int64_data();
  tensor.clear_uint64_data();
  tensor.clear_external_data();
  tensor.clear_data_location();
  tensor.clear_raw_data();
  if (has_elements) tensor.set_raw_data("-");
}

// Calls f with the numbers that the levels stand for, piece by piece.
void dequantize(const Levels& levels, const std::function<void(std::span<const float>)>& f) {
  constexpr size_t kPiece = 4096;
  std::vector<float> piece;
  piece.reserve(kPiece);
  size_t i = 0;
  for_each_integer(*levels.of, [&](int64_t level) {
    const size_t s = levels.slice(i++);
    // Clipped so that a damaged zero point cannot overflow; exact for every real one.
    const int64_t zero = std::clamp<int64_t>(levels.zero_point[s], INT32_MIN, INT32_MAX);
    const int64_t value = std::clamp<int64_t>(level, INT32_MIN, INT32_MAX);
    piece.push_back(static_cast<float>(value - zero) * levels.scale[s]);
    if (piece.size() < kPiece) return;
    f(piece);
    piece.clear();
  });
  f(piece);
}

}  // namespace

int64_t Literal::elements() const { return checked_elements(shape); }

void Literal::for_each_piece(const std::function<void(std::span<const float>)>& f) const {
  TT_ASSERT(type == ElementType::kF32);
  const auto floats = [&](std::span<const char> piece) {
    f({reinterpret_cast<const float*>(piece.data()), piece.size() / sizeof(float)});
  };
  if (file) {
    read_pieces(*file, floats);
  } else if (levels != nullptr) {
    dequantize(*levels, f);
  } else {
    floats(bytes);
  }
}

LiteralPtr loaded(const LiteralPtr& literal) {
  if (literal == nullptr || (!literal->file && literal->levels == nullptr)) return literal;
  if (literal->levels != nullptr) return make_literal(literal->shape, floats_of(*literal));
  return std::make_shared<Literal>(
      Literal{literal->type, literal->shape, read_all(*literal->file)});
}

LiteralPtr make_literal(Shape shape, std::span<const float> values) {
  return std::make_shared<Literal>(
      Literal{ElementType::kF32, std::move(shape), packed(values.data(), values.size())});
}

LiteralPtr make_literal(Shape shape, std::span<const int64_t> values) {
  return std::make_shared<Literal>(
      Literal{ElementType::kI64, std::move(shape), packed(values.data(), values.size())});
}

std::vector<float> floats_of(const Literal& literal) {
  std::vector<float> out;
  out.reserve(static_cast<size_t>(literal.elements()));
  const auto push = [&](auto v) { out.push_back(static_cast<float>(v)); };
  switch (literal.type) {
    case ElementType::kF32:
      literal.for_each_piece(
          [&](std::span<const float> piece) { out.insert(out.end(), piece.begin(), piece.end()); });
      break;
    case ElementType::kI64:
      each<int64_t>(literal.bytes, push);
      break;
    case ElementType::kI32:
      each<int32_t>(literal.bytes, push);
      break;
    case ElementType::kI8:
      each<int8_t>(literal.bytes, push);
      break;
    case ElementType::kU8:
      each<uint8_t>(literal.bytes, push);
      break;
  }
  return out;
}

void for_each_integer(const Literal& literal, const std::function<void(int64_t)>& f) {
  const auto push = [&](auto v) { f(static_cast<int64_t>(v)); };
  const auto truncate = [&](float v) {
    const float limit = 9.2e18f;
    f(v >= limit ? INT64_MAX : v > -limit ? static_cast<int64_t>(v) : INT64_MIN);
  };
  switch (literal.type) {
    case ElementType::kF32:
      literal.for_each_piece([&](std::span<const float> piece) {
        std::for_each(piece.begin(), piece.end(), truncate);
      });
      break;
    case ElementType::kI64:
      each<int64_t>(literal.bytes, push);
      break;
    case ElementType::kI32:
      each<int32_t>(literal.bytes, push);
      break;
    case ElementType::kI8:
      each<int8_t>(literal.bytes, push);
      break;
    case ElementType::kU8:
      each<uint8_t>(literal.bytes, push);
      break;
  }
}

std::vector<int64_t> integers_of(const Literal& literal) {
  std::vector<int64_t> out;
  out.reserve(static_cast<size_t>(literal.elements()));
  for_each_integer(literal, [&](int64_t v) { out.push_back(v); });
  return out;
}

TooLarge::TooLarge(const Shape& s)
    : InputError("shape " + to_string(s) + " has more than 2^31 elements"), shape(s) {}

int64_t checked_elements(const Shape& shape) {
  constexpr int64_t kLimit = int64_t{1} << 31;
  int64_t count = 1;
  bool empty = false;
  for (const int64_t dim : shape) {
    if (dim < 0) throw InputError("negative dimension in shape " + to_string(shape));
    if (dim == 0) empty = true;
    if (dim > kLimit || (dim > 0 && (count *= dim) > kLimit)) {
      throw TooLarge(shape);
    }
  }
  return empty ? 0 : count;
}

namespace {

size_t file_bytes(const Proto& tensor, const Shape& shape, const FileType& type) {
  try {
    return static_cast<size_t>(checked_elements(shape)) * type.bytes;
  } catch (const InputError& error) {
    throw InputError(quoted(tensor) + ": " + error.what());
  }
}

}  // namespace

LiteralPtr take_literal(onnx::TensorProto& tensor, const ModelFiles& files) {
  auto literal = std::make_shared<Literal>();
  literal->shape.assign(tensor.dims().begin(), tensor.dims().end());
  const FileType type = file_type(tensor);
  literal->type = type.becomes;
  const size_t needed = file_bytes(tensor, literal->shape, type);
  std::string bytes;
  if (tensor.data_location() == Proto::EXTERNAL) {
    const FileRange range = external_range(tensor, files, needed);
    if (tensor.data_type() == Proto::FLOAT) {
      literal->file = range;
      leave_stub(tensor, needed > 0);
      return literal;
    }
    bytes = read_all(range);
  } else if (tensor.has_raw_data()) {
    bytes = std::move(*tensor.mutable_raw_data());
  } else {
    bytes = packed_fields(tensor);
  }
  if (bytes.size() != needed) {
    throw InputError(quoted(tensor) + " holds " + std::to_string(bytes.size()) +
                     " bytes, but its shape " + to_string(literal->shape) + " needs " +
                     std::to_string(needed) + ": the file is damaged, export it again");
  }
  leave_stub(tensor, needed > 0);
  literal->bytes = convert_raw(tensor.data_type(), std::move(bytes));
  return literal;
}

}  // namespace tinytl::internal

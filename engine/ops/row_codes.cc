#include "engine/ops/row_codes.h"

#include <cstring>

namespace tinytl {
namespace {

const float* scales_of(const TensorType& type, const int8_t* codes) {
  return reinterpret_cast<const float*>(codes + type.scale_offset());
}

}  // namespace

bool has_row8(const Node& node, InputTypes in) {
  return writes_row8(node) || std::ranges::any_of(in, is_row8);
}

bool has_row8(const Node& node, const KernelArgs& t) {
  bool found = writes_row8(node);
  for (size_t i = 0; i < t.inputs(); ++i) found = found || is_row8(t.type(i));
  return found;
}

void decode(const KernelArgs& t, size_t i, Share rows, Share columns, float* x) {
  const TensorType& type = t.type(i);
  const int64_t step = columns_of(type);
  t.kernels().decode_rows(t.i8(i) + rows.begin * step + columns.begin,
                          scales_of(type, t.i8(i)) + rows.begin, rows.size(), columns.size(), step,
                          x);
}

const float* rows_of_input(const KernelArgs& t, size_t i, Share rows, float* room) {
  const int64_t columns = columns_of(t.type(i));
  if (!is_row8(t.type(i))) return t.f32(i) + rows.begin * columns;
  decode(t, i, rows, {0, columns}, room);
  return room;
}

void copy_rows(const KernelArgs& t, size_t i, Share rows, float* x) {
  const float* const from = rows_of_input(t, i, rows, x);
  const int64_t floats = rows.size() * columns_of(t.type(i));
  if (from != x) std::memcpy(x, from, static_cast<size_t>(floats) * sizeof(float));
}

float* place_of_rows(const KernelArgs& t, int64_t first, float* room) {
  return is_row8(t.out_type()) ? room : t.out_f32() + first * columns_of(t.out_type());
}

void finish_rows(const KernelArgs& t, Share rows, const float* y) {
  const TensorType& type = t.out_type();
  if (!is_row8(type)) return;
  int8_t* const codes = t.out_i8();
  auto* const scale = reinterpret_cast<float*>(codes + type.scale_offset());
  t.kernels().encode_rows(y, rows.size(), columns_of(type), codes + rows.begin * columns_of(type),
                          scale + rows.begin);
}

}  // namespace tinytl

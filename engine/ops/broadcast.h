// Loops over two operands under NumPy broadcasting, without allocation.
#pragma once

#include <algorithm>
#include <array>

#include "engine/ops/op_helpers.h"

namespace tinytl {

inline constexpr size_t kMaxRank = 8;

// Strides, in elements, with which an operand of `shape` is read along the dimensions of `out`
// (0 where it is broadcast), right-aligned to rank kMaxRank.
struct BroadcastStrides {
  std::array<int64_t, kMaxRank> extent{}, a{}, b{};

  BroadcastStrides(const Shape& out, const Shape& a_shape, const Shape& b_shape) {
    extent.fill(1);
    for (size_t i = 0; i < out.size(); ++i) extent[kMaxRank - out.size() + i] = out[i];
    a = strides_of(a_shape);
    b = strides_of(b_shape);
  }

 private:
  static std::array<int64_t, kMaxRank> strides_of(const Shape& shape) {
    std::array<int64_t, kMaxRank> strides{};
    int64_t stride = 1;
    for (size_t i = 0; i < shape.size(); ++i) {
      const size_t d = shape.size() - 1 - i;
      strides[kMaxRank - 1 - i] = shape[d] == 1 ? 0 : stride;
      stride *= shape[d];
    }
    return strides;
  }
};

// Calls visit(i, ia, ib) for every element i of `out` in order, with the elements of the operands
// that belong to it.
template <typename Visit>
void for_each_broadcast(const Shape& out, const Shape& a, const Shape& b, Visit visit) {
  const BroadcastStrides s(out, a, b);
  std::array<int64_t, kMaxRank> at{};
  int64_t count = 1;
  for (const int64_t d : out) count *= d;
  const int64_t inner = s.extent.back();
  int64_t ia = 0, ib = 0;
  for (int64_t i = 0; i < count; i += inner) {
    for (int64_t j = 0; j < inner; ++j) visit(i + j, ia + j * s.a.back(), ib + j * s.b.back());
    for (size_t d = kMaxRank - 1; d-- > 0;) {  // advance the outer dimensions like an odometer
      ia += s.a[d];
      ib += s.b[d];
      if (++at[d] < s.extent[d]) break;
      ia -= s.a[d] * s.extent[d];
      ib -= s.b[d] * s.extent[d];
      at[d] = 0;
    }
  }
}

inline OutputTypes infer_broadcast(const Node& node, InputTypes in) {
  check(in.size() == 2, node, in, "takes two operands");
  check(in[0].dtype == in[1].dtype, node, in, "the operands differ in element type");
  std::optional<Shape> shape = broadcast_shape(in[0].shape, in[1].shape);
  check(shape.has_value(), node, in, "the shapes do not broadcast");
  check(shape->size() <= kMaxRank, node, in, "more than 8 dimensions");
  return {{in[0].dtype, *shape}};
}

// The dimensions of two operands with neighbours merged where both are read through them in one
// stride, the last one first. At least two.
struct MergedBroadcast {
  size_t rank = 0;
  std::array<int64_t, kMaxRank> extent{}, a{}, b{};

  MergedBroadcast(const Shape& out, const Shape& a_shape, const Shape& b_shape) {
    const BroadcastStrides s(out, a_shape, b_shape);
    for (size_t d = kMaxRank; d-- > 0;) {
      const size_t last = rank - 1;
      if (s.extent[d] == 1) continue;
      if (rank > 0 && s.a[d] == a[last] * extent[last] && s.b[d] == b[last] * extent[last]) {
        extent[last] *= s.extent[d];
      } else {
        append(s.extent[d], s.a[d], s.b[d]);
      }
    }
    while (rank < 2) append(1, 0, 0);
  }

 private:
  void append(int64_t size, int64_t a_stride, int64_t b_stride) {
    extent[rank] = size;
    a[rank] = a_stride;
    b[rank] = b_stride;
    ++rank;
  }
};

// out = x op y, in parts: of rows, or of elements where there is but one row.
inline void apply_broadcast(const KernelArgs& t, tt_arithmetic op) {
  const int64_t count = t.out_type().elements();
  if (count == 0) return;
  const MergedBroadcast m(t.out_type().shape, t.type(0).shape, t.type(1).shape);
  const int64_t cols = m.extent[0], rows = m.extent[1];
  if (cols == count) {
    const Share share = t.share(count, 64);
    const tt_operand x{t.f32(0) + share.begin * m.a[0], 0, m.a[0]};
    const tt_operand y{t.f32(1) + share.begin * m.b[0], 0, m.b[0]};
    t.kernels().combine(op, &x, &y, 1, share.size(), t.out_f32() + share.begin);
    return;
  }
  const Share share = t.share(count / cols);
  for (int64_t row = share.begin; row < share.end;) {
    const int64_t first = row % rows, run = std::min(rows - first, share.end - row);
    int64_t ia = first * m.a[1], ib = first * m.b[1];
    int64_t outer = row / rows;
    for (size_t d = 2; d < m.rank; ++d) {
      ia += outer % m.extent[d] * m.a[d];
      ib += outer % m.extent[d] * m.b[d];
      outer /= m.extent[d];
    }
    const tt_operand x{t.f32(0) + ia, m.a[1], m.a[0]}, y{t.f32(1) + ib, m.b[1], m.b[0]};
    t.kernels().combine(op, &x, &y, run, cols, t.out_f32() + row * cols);
    row += run;
  }
}

}  // namespace tinytl

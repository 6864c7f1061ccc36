// Loops over two operands under NumPy broadcasting, without allocation.
#pragma once

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

// out[i] = f(a, b). The common case, two operands of one shape, is a plain loop.
template <typename F>
void apply_broadcast(const KernelArgs& t, F f) {
  const float* a = t.f32(0);
  const float* b = t.f32(1);
  float* out = t.out_f32();
  if (t.type(0).shape == t.type(1).shape) {
    const int64_t n = t.out_type().elements();
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i], b[i]);
    return;
  }
  for_each_broadcast(t.out_type().shape, t.type(0).shape, t.type(1).shape,
                     [&](int64_t i, int64_t ia, int64_t ib) { out[i] = f(a[ia], b[ib]); });
}

}  // namespace tinytl

// SumTo: sums x down to the attribute "shape", which must broadcast to the shape of x. The gradient
// of broadcasting, and of a bias; x may be kRow8 where rows are summed. BroadcastTo is its mirror;
// each is the other's gradient.

#include <algorithm>

#include "engine/ops/broadcast.h"
#include "engine/ops/op_table.h"
#include "engine/ops/row_codes.h"

namespace tinytl {
namespace {

Shape target_shape(const Node& node) {
  const auto shape = node.attributes.integers("shape");
  return {shape.begin(), shape.end()};
}

// True where summing to `target` is summing the rows of a matrix with elements(target) columns.
bool is_row_sum(const Shape& from, const Shape& target) {
  size_t i = 0;
  while (i < target.size() && target[i] == 1) ++i;
  const size_t kept = target.size() - i;
  return std::equal(target.begin() + static_cast<ptrdiff_t>(i), target.end(),
                    from.end() - static_cast<ptrdiff_t>(kept));
}

// The same where the columns are those of the last axis.
bool rows_are_summed(const Shape& from, const Shape& target) {
  int64_t columns = 1;
  for (const int64_t d : target) columns *= d;
  return is_row_sum(from, target) && columns == from.back();
}

OutputTypes infer_sum(const Node& node, InputTypes in) {
  const Shape target = target_shape(node);
  check(in.size() == 1 && in[0].rank() <= kMaxRank &&
            broadcast_shape(target, in[0].shape) == in[0].shape,
        node, in, "cannot be summed to " + to_string(target));
  check(!is_row8(in[0]) || rows_are_summed(in[0].shape, target), node, in,
        "sums of kRow8 are those of its rows");
  return {{is_row8(in[0]) ? DType::kF32 : in[0].dtype, target}};
}

int64_t rows_at_once(const TensorType& type) {
  return strip_rows(rows_of(type), 2 * columns_of(type), 1);
}

size_t sum_scratch(const Node&, InputTypes in, const tt_kernels&) {
  if (!is_row8(in[0])) return 0;
  return static_cast<size_t>((rows_at_once(in[0]) + 1) * columns_of(in[0])) * sizeof(float);
}

// Of rows in 8 bits: the sums of strips, added up in their order.
void sum_codes(const KernelArgs& t) {
  const TensorType& type = t.type(0);
  const Share columns = t.share(columns_of(type), 16);
  if (columns.size() == 0) return;
  float* const y = t.out_f32() + columns.begin;
  auto* const part = static_cast<float*>(t.scratch());
  float* const x = part + columns.size();
  const int64_t step = rows_at_once(type), rows = rows_of(type);
  for (int64_t first = 0; first < rows; first += step) {
    const int64_t count = std::min(step, rows - first);
    decode(t, 0, {first, first + count}, columns, x);
    float* const sums = first == 0 ? y : part;
    t.kernels().sum_rows(x, count, columns.size(), columns.size(), sums);
    if (first > 0) t.kernels().add(y, part, columns.size(), y);
  }
}

void sum(const Node&, const KernelArgs& t) {
  if (is_row8(t.type(0))) return sum_codes(t);
  const float* x = t.f32(0);
  float* y = t.out_f32();
  const int64_t columns = t.out_type().elements();
  if (is_row_sum(t.type(0).shape, t.out_type().shape)) {
    const Share share = t.share(columns, 16);
    t.kernels().sum_rows(x + share.begin, t.type(0).elements() / columns, share.size(), columns,
                         y + share.begin);
    return;
  }
  if (!t.is_first_part()) return;
  std::fill(y, y + columns, 0.0f);
  for_each_broadcast(t.type(0).shape, t.type(0).shape, t.out_type().shape,
                     [&](int64_t, int64_t ix, int64_t iy) { y[iy] += x[ix]; });
}

void sum_vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  grad.set(0, grad.emit(kBroadcastTo, {grad.dy()}, {{"shape", grad.input_type(0).shape}}));
}

OutputTypes infer_broadcast_to(const Node& node, InputTypes in) {
  const Shape target = target_shape(node);
  check(
      in.size() == 1 && target.size() <= kMaxRank && broadcast_shape(in[0].shape, target) == target,
      node, in, "does not broadcast to " + to_string(target));
  check(!writes_row8(node) ||
            (in[0].dtype == DType::kF32 && in[0].rank() > 0 && in[0].shape.back() == target.back()),
        node, in, "of kRow8, rows are copies of rows");
  return {writes_row8(node) ? gradient_result(node, target) : TensorType{in[0].dtype, target}};
}

// Rounds a row for each of its copies.
void broadcast_codes(const KernelArgs& t) {
  const TensorType& type = t.out_type();
  const int64_t columns = columns_of(type);
  auto* const scale = reinterpret_cast<float*>(t.out_i8() + type.scale_offset());
  for_each_broadcast(type.shape, type.shape, t.type(0).shape, [&](int64_t i, int64_t, int64_t ix) {
    if (i % columns != 0) return;
    t.kernels().encode_rows(t.f32(0) + ix, 1, columns, t.out_i8() + i, scale + i / columns);
  });
}

void broadcast(const Node& node, const KernelArgs& t) {
  if (writes_row8(node)) return broadcast_codes(t);
  const float* x = t.f32(0);
  float* y = t.out_f32();
  const Shape& out = t.out_type().shape;
  for_each_broadcast(out, out, t.type(0).shape,
                     [&](int64_t i, int64_t, int64_t ix) { y[i] = x[ix]; });
}

void broadcast_vjp(GradBuilder& grad) {
  if (grad.wants(0)) grad.set_reduced(0, grad.dy());
}

}  // namespace

const OpDef kSumTo{.name = "SumTo",
                   .infer = infer_sum,
                   .forward = sum,
                   .vjp = sum_vjp,
                   .divides = true,
                   .scratch_bytes = sum_scratch,
                   .reads_row8 = 0b1};
const OpDef kBroadcastTo{.name = "BroadcastTo",
                         .infer = infer_broadcast_to,
                         .forward = broadcast,
                         .vjp = broadcast_vjp,
                         .writes_row8 = true};

}  // namespace tinytl

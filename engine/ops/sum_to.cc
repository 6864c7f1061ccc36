// SumTo: sums x down to the attribute "shape", which must broadcast to the shape of x. The gradient
// of broadcasting, and of a bias. BroadcastTo is its mirror; each is the other's gradient.

#include <algorithm>

#include "engine/ops/broadcast.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

Shape target_shape(const Node& node) {
  const auto shape = node.attributes.integers("shape");
  return {shape.begin(), shape.end()};
}

OutputTypes infer_sum(const Node& node, InputTypes in) {
  const Shape target = target_shape(node);
  check(in.size() == 1 && in[0].rank() <= kMaxRank &&
            broadcast_shape(target, in[0].shape) == in[0].shape,
        node, in, "cannot be summed to " + to_string(target));
  return {{in[0].dtype, target}};
}

// True where summing to `target` is summing the rows of a matrix with elements(target) columns.
bool is_row_sum(const Shape& from, const Shape& target) {
  size_t i = 0;
  while (i < target.size() && target[i] == 1) ++i;
  const size_t kept = target.size() - i;
  return std::equal(target.begin() + static_cast<ptrdiff_t>(i), target.end(),
                    from.end() - static_cast<ptrdiff_t>(kept));
}

void sum(const Node&, const KernelArgs& t) {
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
  return {{in[0].dtype, target}};
}

void broadcast(const Node&, const KernelArgs& t) {
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

const OpDef kSumTo{
    .name = "SumTo", .infer = infer_sum, .forward = sum, .vjp = sum_vjp, .divides = true};
const OpDef kBroadcastTo{
    .name = "BroadcastTo", .infer = infer_broadcast_to, .forward = broadcast, .vjp = broadcast_vjp};

}  // namespace tinytl

// Transpose: dimension i of y is dimension perm[i] of x. Gradient: the inverse permutation.

#include <array>

#include "engine/ops/broadcast.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 1, node, in, "takes one tensor");
  const auto perm = node.attributes.integers("perm");
  check(perm.size() == in[0].rank() && perm.size() <= kMaxRank, node, in,
        "perm must name every dimension once (at most 8)");
  std::array<bool, kMaxRank> seen{};
  TensorType y{in[0].dtype, {}};
  for (const int64_t p : perm) {
    check(p >= 0 && p < static_cast<int64_t>(perm.size()) && !seen[static_cast<size_t>(p)], node,
          in, "perm must name every dimension once");
    seen[static_cast<size_t>(p)] = true;
    y.shape.push_back(in[0].dim(static_cast<size_t>(p)));
  }
  return {y};
}

void forward(const Node& node, const KernelArgs& t) {
  const auto perm = node.attributes.integers("perm");
  const Shape& x_shape = t.type(0).shape;
  const Shape& y_shape = t.out_type().shape;
  const size_t rank = perm.size();
  std::array<int64_t, kMaxRank> x_stride{}, stride{}, at{};
  int64_t running = 1;
  for (size_t d = rank; d-- > 0;) {
    x_stride[d] = running;
    running *= x_shape[d];
  }
  for (size_t d = 0; d < rank; ++d) stride[d] = x_stride[static_cast<size_t>(perm[d])];
  const float* x = t.f32(0);
  float* y = t.out_f32();
  const int64_t count = t.out_type().elements();
  int64_t from = 0;
  for (int64_t i = 0; i < count; ++i) {
    y[i] = x[from];
    for (size_t d = rank; d-- > 0;) {
      from += stride[d];
      if (++at[d] < y_shape[d]) break;
      from -= stride[d] * y_shape[d];
      at[d] = 0;
    }
  }
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const auto perm = grad.node().attributes.integers("perm");
  std::vector<int64_t> inverse(perm.size());
  for (size_t i = 0; i < perm.size(); ++i) {
    inverse[static_cast<size_t>(perm[i])] = static_cast<int64_t>(i);
  }
  grad.set(0, grad.emit(kTranspose, {grad.dy()}, {{"perm", inverse}}));
}

}  // namespace

const OpDef kTranspose{.name = "Transpose", .infer = infer, .forward = forward, .vjp = vjp};

}  // namespace tinytl

// QGlobalAveragePool: the mean over all positions of an 8-bit [N,H,W,C] (q_layer.h), [N,1,1,C]:
//   y8 = y_zero + round(sum (x8 - x_zero) x_scale / (H W y_scale)), limited to [y_low, y_high]
// Gradient: dx = dy / (H W) at every position, where y reached no limit.

#include "engine/ops/op_table.h"
#include "engine/ops/q_layer.h"

namespace tinytl {
namespace {

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 1 && in[0].dtype == DType::kI8 && in[0].rank() == 4, node, in,
        "takes one i8 tensor of rank 4");
  check_levels(node, in);
  return {{DType::kI8, {in[0].dim(0), 1, 1, in[0].dim(3)}}};
}

int64_t positions(const Shape& x) { return x[1] * x[2]; }

void forward(const Node& node, const KernelArgs& t) {
  const Shape& x = t.type(0).shape;
  tt_requantize q = requantize_of(node, t, t.inputs(), t.inputs());
  q.factor /= static_cast<float>(positions(x));
  for (int64_t n = 0; n < x[0]; ++n) {
    t.kernels().mean_q8(&q, t.i8(0) + n * positions(x) * x[3], positions(x),
                        static_cast<int32_t>(x[3]), t.out_i8() + n * x[3]);
  }
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const Shape x = grad.input_type(0).shape;  // a copy: emitting moves the graph's own
  const ValueId share = grad.emit(kScale, {dy_within_limits(grad)},
                                  {{"factor", 1.0f / static_cast<float>(positions(x))}});
  grad.set(0, grad.emit(kBroadcastTo, {share}, {{"shape", x}}));
}

}  // namespace

const OpDef kQGlobalAveragePool{
    .name = "QGlobalAveragePool", .infer = infer, .forward = forward, .vjp = vjp};

}  // namespace tinytl

// Mean squared error over every element: loss = 1/M sum (y - target)^2.
//
// Gradients: dy = dloss 2 (y - target) / M, dtarget = -dy.

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

enum { kY, kTarget, kDLoss };

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[kY] == in[kTarget], node, in, "y and target must have one shape");
  return {{DType::kF32, {1}}};
}

void forward(const Node&, const KernelArgs& t) {
  const int64_t count = t.type(kY).elements();
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    const double d = double(t.f32(kY)[i]) - double(t.f32(kTarget)[i]);
    sum += d * d;
  }
  t.out_f32()[0] = static_cast<float>(sum / static_cast<double>(count));
}

void vjp(GradBuilder& grad) {
  const Node& node = grad.node();
  if (!grad.wants(kY) && !grad.wants(kTarget)) return;
  const ValueId dy =
      grad.emit(kMeanSquaredErrorGrad, {node.input(kY), node.input(kTarget), grad.dy()});
  if (grad.wants(kTarget)) grad.set(kTarget, grad.emit(kScale, {dy}, {{"factor", -1.0f}}));
  if (grad.wants(kY)) grad.set(kY, dy);
}

OutputTypes infer_grad(const Node& node, InputTypes in) {
  check(in.size() == 3 && in[kY] == in[kTarget] && in[kDLoss].elements() == 1, node, in,
        "takes y, target and the gradient of the loss");
  return {in[kY]};
}

void backward(const Node&, const KernelArgs& t) {
  const int64_t count = t.type(kY).elements();
  const float scale = 2.0f * t.f32(kDLoss)[0] / static_cast<float>(count);
  const float *y = t.f32(kY), *target = t.f32(kTarget);
  float* dy = t.out_f32();
  const Share share = t.share(count, 64);
  for (int64_t i = share.begin; i < share.end; ++i) dy[i] = (y[i] - target[i]) * scale;
}

}  // namespace

const OpDef kMeanSquaredError{
    .name = "MeanSquaredError", .infer = infer, .forward = forward, .vjp = vjp};
const OpDef kMeanSquaredErrorGrad{.name = "MeanSquaredErrorGrad",
                                  .infer = infer_grad,
                                  .forward = backward,
                                  .divides = true,
                                  .in_place = 0b11};

}  // namespace tinytl

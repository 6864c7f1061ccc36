// Softmax cross-entropy with label smoothing, the mean over the batch:
//   loss = 1/N sum_n ( logsumexp(z_n) - sum_c t_nc z_nc ),  t = (1 - s) onehot(label) + s / C
//
// Gradient: dz = dloss (softmax(z) - t) / N, recomputed from the logits, so nothing else is saved.
// Szegedy et al., Rethinking the Inception Architecture, CVPR 2016 (label smoothing).

#include <cmath>

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

enum { kLogits, kLabels, kDLoss };

void check_operands(const Node& node, InputTypes in) {
  check(in[kLogits].rank() == 2, node, in, "logits must be [batch, classes]");
  check(in[kLabels].dtype == DType::kI32 && in[kLabels].shape == Shape{in[kLogits].dim(0)}, node,
        in, "labels must be i32[batch]");
}

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 2, node, in, "takes logits and labels");
  check_operands(node, in);
  return {{DType::kF32, {1}}};
}

void forward(const Node& node, const KernelArgs& t) {
  const float smoothing = node.attributes.number("label_smoothing");
  const int64_t batch = t.type(kLogits).dim(0), classes = t.type(kLogits).dim(1);
  double loss = 0;
  for (int64_t n = 0; n < batch; ++n) {
    const float* z = t.f32(kLogits) + n * classes;
    const float top = t.kernels().reduce(TT_MAX, z, classes, 0.0f);
    const double sum = t.kernels().reduce(TT_SUM_EXP, z, classes, top);
    const double mean = t.kernels().reduce(TT_SUM, z, classes, top) / static_cast<double>(classes);
    loss += std::log(sum) - (1.0 - smoothing) * (z[t.i32(kLabels)[n]] - top) - smoothing * mean;
  }
  t.out_f32()[0] = static_cast<float>(loss / static_cast<double>(batch));
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(kLogits)) return;
  const Node& node = grad.node();
  grad.set(kLogits,
           grad.emit(kSoftmaxCrossEntropyGrad,
                     {node.input(kLogits), node.input(kLabels), grad.dy()}, node.attributes));
}

OutputTypes infer_grad(const Node& node, InputTypes in) {
  check(in.size() == 3 && in[kDLoss].elements() == 1, node, in,
        "takes logits, labels and the gradient of the loss");
  check_operands(node, in);
  return {in[kLogits]};
}

void backward(const Node& node, const KernelArgs& t) {
  const float smoothing = node.attributes.number("label_smoothing");
  const int64_t batch = t.type(kLogits).dim(0), classes = t.type(kLogits).dim(1);
  const float scale = t.f32(kDLoss)[0] / static_cast<float>(batch);
  const float off = smoothing / static_cast<float>(classes);
  const Share share = t.share(batch);
  for (int64_t n = share.begin; n < share.end; ++n) {
    float* dz = t.out_f32() + n * classes;
    t.kernels().softmax(t.f32(kLogits) + n * classes, classes, 1, 0, dz);
    t.kernels().map(TT_LINEAR, dz, classes, scale, -off, dz);
    dz[t.i32(kLabels)[n]] -= (1.0f - smoothing) * scale;
  }
}

}  // namespace

const OpDef kSoftmaxCrossEntropy{
    .name = "SoftmaxCrossEntropy", .infer = infer, .forward = forward, .vjp = vjp};
const OpDef kSoftmaxCrossEntropyGrad{.name = "SoftmaxCrossEntropyGrad",
                                     .infer = infer_grad,
                                     .forward = backward,
                                     .divides = true,
                                     .in_place = 1};

}  // namespace tinytl

// StandardizeWeight: weights of mean 0 and deviation 1 for every entry of their last axis, the
// output channel of w[kh,kw,ci,co] (Qiao et al., "Micro-Batch Training with Batch-Channel
// Normalization and Weight Standardization", 2019):
//   y = n = (w - mean) / (s + "epsilon"),   s^2 = sum (w - mean)^2 / (K - 1)
// over the K entries of an output channel; s = 0 where K = 1.
//
// Gradient, with q = 1 / (s + epsilon) and means over the channel:
//   dw = q (dy - mean(dy)) - (w - mean) q^2 sum(dy (w - mean)) / ((K - 1) s)
//                                                            StandardizeWeightGrad(dy, w)
//
// It saves the weights only, which are kept anyway.

#include <algorithm>
#include <cmath>

#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

void check_weight(const Node& node, InputTypes in, const TensorType& w) {
  check(w.dtype == DType::kF32 && w.rank() >= 2 && w.elements() > 0, node, in,
        "w must be f32 with its output channels last");
  check(node.attributes.number("epsilon") >= 0.0f, node, in, "epsilon must not be negative");
}

// One output channel: `n` entries, `step` apart.
struct Column {
  int64_t n, step;

  template <class F>
  double sum(F&& term) const {
    double total = 0;
    for (int64_t i = 0; i < n; ++i) total += term(i * step);
    return total;
  }
  double mean(const float* x) const {
    return sum([&](int64_t i) { return double{x[i]}; }) / static_cast<double>(n);
  }
  double deviation(const float* x, double mean) const {
    const double squares = sum([&](int64_t i) { return (x[i] - mean) * (x[i] - mean); });
    return std::sqrt(squares / static_cast<double>(std::max<int64_t>(1, n - 1)));
  }
};

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 1, node, in, "takes a weight");
  check_weight(node, in, in[0]);
  return {in[0]};
}

void forward(const Node& node, const KernelArgs& t) {
  const Column column{rows_of(t.type(0)), columns_of(t.type(0))};
  const Share share = t.share(column.step, 16);
  const double epsilon = double{node.attributes.number("epsilon")};
  for (int64_t c = share.begin; c < share.end; ++c) {
    const float* w = t.f32(0) + c;
    float* y = t.out_f32() + c;
    const double mean = column.mean(w), q = 1 / (column.deviation(w, mean) + epsilon);
    for (int64_t i = 0; i < column.n * column.step; i += column.step) {
      y[i] = static_cast<float>((w[i] - mean) * q);
    }
  }
}

void vjp(GradBuilder& grad) {
  if (!grad.wants(0)) return;
  const Node& node = grad.node();
  grad.set(0, grad.emit(kStandardizeWeightGrad, {grad.dy(), node.input(0)}, node.attributes));
}

enum { kDy, kW };

OutputTypes infer_grad(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[kDy] == in[kW], node, in, "takes dy and w of one type");
  check_weight(node, in, in[kW]);
  return {in[kW]};
}

void gradient(const Node& node, const KernelArgs& t) {
  const Column column{rows_of(t.type(kW)), columns_of(t.type(kW))};
  const Share share = t.share(column.step, 16);
  const double epsilon = double{node.attributes.number("epsilon")};
  for (int64_t c = share.begin; c < share.end; ++c) {
    const float *dy = t.f32(kDy) + c, *w = t.f32(kW) + c;
    float* dw = t.out_f32() + c;
    const double mean = column.mean(w), deviation = column.deviation(w, mean);
    const double q = 1 / (deviation + epsilon), mean_dy = column.mean(dy);
    const double dot = column.sum([&](int64_t i) { return dy[i] * (w[i] - mean); });
    const double size = static_cast<double>(column.n - 1) * deviation;
    const double slope = size > 0 ? q * q * dot / size : 0;  // equal weights: s has none
    for (int64_t i = 0; i < column.n * column.step; i += column.step) {
      dw[i] = static_cast<float>(q * (dy[i] - mean_dy) - slope * (w[i] - mean));
    }
  }
}

}  // namespace

const OpDef kStandardizeWeight{.name = "StandardizeWeight",
                               .infer = infer,
                               .forward = forward,
                               .vjp = vjp,
                               .divides = true,
                               .in_place = 1};
const OpDef kStandardizeWeightGrad{.name = "StandardizeWeightGrad",
                                   .infer = infer_grad,
                                   .forward = gradient,
                                   .divides = true,
                                   .in_place = 0b11};

}  // namespace tinytl

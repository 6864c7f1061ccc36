// Softmax along "axis": y_i = exp(x_i) / sum_j exp(x_j), and LogSoftmax, its logarithm.
//
// Gradients, from y only:
//   Softmax:     dx_i = y_i (dy_i - sum_j dy_j y_j)
//   LogSoftmax:  dx_i = dy_i - exp(y_i) sum_j dy_j
//
// Every line along the axis is read in full before it is written, so all run in place.

#include <algorithm>
#include <cmath>

#include "engine/ops/axis.h"
#include "engine/ops/op_table.h"
#include "engine/ops/unary.h"

namespace tinytl {
namespace {

enum { kDy, kY };

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 1 && in[0].dtype == DType::kF32, node, in, "takes one f32 tensor");
  check_axis(node, in);
  return {in[0]};
}

OutputTypes infer_grad(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[kDy].dtype == DType::kF32 && in[kDy] == in[kY], node, in,
        "takes dy and y, f32 of one shape");
  check_axis(node, in);
  return {in[kDy]};
}

// Calls visit(start) with the offset of the first element of every line along the axis.
template <typename Visit>
void for_each_line(const AxisView& view, Visit visit) {
  for (int64_t o = 0; o < view.outer; ++o) {
    for (int64_t i = 0; i < view.inner; ++i) visit(o * view.size * view.inner + i);
  }
}

float largest(const float* x, const AxisView& view) {
  float top = x[0];
  for (int64_t j = 1; j < view.size; ++j) top = std::max(top, x[j * view.inner]);
  return top;
}

void softmax(const Node& node, const KernelArgs& t) {
  const AxisView view = axis_view(node, t.type(0).shape);
  for_each_line(view, [&](int64_t start) {
    const float* x = t.f32(0) + start;
    float* y = t.out_f32() + start;
    const float top = largest(x, view);
    double sum = 0;
    for (int64_t j = 0; j < view.size; ++j) {
      const float e = std::exp(x[j * view.inner] - top);
      y[j * view.inner] = e;
      sum += static_cast<double>(e);
    }
    const float scale = static_cast<float>(1.0 / sum);
    for (int64_t j = 0; j < view.size; ++j) y[j * view.inner] *= scale;
  });
}

void softmax_grad(const Node& node, const KernelArgs& t) {
  const AxisView view = axis_view(node, t.type(kDy).shape);
  for_each_line(view, [&](int64_t start) {
    const float* dy = t.f32(kDy) + start;
    const float* y = t.f32(kY) + start;
    float* dx = t.out_f32() + start;
    double dot = 0;
    for (int64_t j = 0; j < view.size; ++j) {
      dot += static_cast<double>(dy[j * view.inner]) * static_cast<double>(y[j * view.inner]);
    }
    const float mean = static_cast<float>(dot);
    for (int64_t j = 0; j < view.size; ++j) {
      dx[j * view.inner] = y[j * view.inner] * (dy[j * view.inner] - mean);
    }
  });
}

void log_softmax(const Node& node, const KernelArgs& t) {
  const AxisView view = axis_view(node, t.type(0).shape);
  for_each_line(view, [&](int64_t start) {
    const float* x = t.f32(0) + start;
    float* y = t.out_f32() + start;
    const float top = largest(x, view);
    double sum = 0;
    for (int64_t j = 0; j < view.size; ++j) {
      sum += static_cast<double>(std::exp(x[j * view.inner] - top));
    }
    const float log_sum = static_cast<float>(std::log(sum));
    for (int64_t j = 0; j < view.size; ++j) y[j * view.inner] = x[j * view.inner] - top - log_sum;
  });
}

void log_softmax_grad(const Node& node, const KernelArgs& t) {
  const AxisView view = axis_view(node, t.type(kDy).shape);
  for_each_line(view, [&](int64_t start) {
    const float* dy = t.f32(kDy) + start;
    const float* y = t.f32(kY) + start;
    float* dx = t.out_f32() + start;
    double total = 0;
    for (int64_t j = 0; j < view.size; ++j) total += static_cast<double>(dy[j * view.inner]);
    const float sum = static_cast<float>(total);
    for (int64_t j = 0; j < view.size; ++j) {
      dx[j * view.inner] = dy[j * view.inner] - std::exp(y[j * view.inner]) * sum;
    }
  });
}

}  // namespace

const OpDef kSoftmax{.name = "Softmax",
                     .infer = infer,
                     .forward = softmax,
                     .vjp = vjp_from_output<kSoftmaxGrad>,
                     .in_place = 1};
const OpDef kSoftmaxGrad{
    .name = "SoftmaxGrad", .infer = infer_grad, .forward = softmax_grad, .in_place = 0b11};
const OpDef kLogSoftmax{.name = "LogSoftmax",
                        .infer = infer,
                        .forward = log_softmax,
                        .vjp = vjp_from_output<kLogSoftmaxGrad>,
                        .in_place = 1};
const OpDef kLogSoftmaxGrad{
    .name = "LogSoftmaxGrad", .infer = infer_grad, .forward = log_softmax_grad, .in_place = 0b11};

}  // namespace tinytl

// Softmax along "axis": y_i = exp(x_i) / sum_j exp(x_j), and LogSoftmax, its logarithm.
//
// Gradients, from y only:
//   Softmax:     dx_i = y_i (dy_i - sum_j dy_j y_j)
//   LogSoftmax:  dx_i = dy_i - exp(y_i) sum_j dy_j
//
// Every line along the axis is read in full before it is written, so all run in place.

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

// Calls visit(start) with the offset of the first element of every line of this part.
template <typename Visit>
void for_each_line(const KernelArgs& t, const AxisView& view, Visit visit) {
  const Share lines = t.share(view.outer * view.inner);
  for (int64_t i = lines.begin; i < lines.end; ++i) {
    visit(i / view.inner * view.size * view.inner + i % view.inner);
  }
}

void run(const Node& node, const KernelArgs& t, bool is_log) {
  const AxisView view = axis_view(node, t.type(0).shape);
  for_each_line(t, view, [&](int64_t start) {
    t.kernels().softmax(t.f32(0) + start, view.size, view.inner, is_log, t.out_f32() + start);
  });
}

void run_grad(const Node& node, const KernelArgs& t, bool is_log) {
  const AxisView view = axis_view(node, t.type(kDy).shape);
  for_each_line(t, view, [&](int64_t start) {
    t.kernels().softmax_grad(t.f32(kDy) + start, t.f32(kY) + start, view.size, view.inner, is_log,
                             t.out_f32() + start);
  });
}

void softmax(const Node& node, const KernelArgs& t) { run(node, t, false); }
void softmax_grad(const Node& node, const KernelArgs& t) { run_grad(node, t, false); }
void log_softmax(const Node& node, const KernelArgs& t) { run(node, t, true); }
void log_softmax_grad(const Node& node, const KernelArgs& t) { run_grad(node, t, true); }

}  // namespace

const OpDef kSoftmax{.name = "Softmax",
                     .infer = infer,
                     .forward = softmax,
                     .vjp = vjp_from_output<kSoftmaxGrad>,
                     .divides = true,
                     .in_place = 1};
const OpDef kSoftmaxGrad{.name = "SoftmaxGrad",
                         .infer = infer_grad,
                         .forward = softmax_grad,
                         .divides = true,
                         .in_place = 0b11};
const OpDef kLogSoftmax{.name = "LogSoftmax",
                        .infer = infer,
                        .forward = log_softmax,
                        .vjp = vjp_from_output<kLogSoftmaxGrad>,
                        .divides = true,
                        .in_place = 1};
const OpDef kLogSoftmaxGrad{.name = "LogSoftmaxGrad",
                            .infer = infer_grad,
                            .forward = log_softmax_grad,
                            .divides = true,
                            .in_place = 0b11};

}  // namespace tinytl

// QAdd: the sum of two 8-bit tensors of one shape (q_layer.h), each with its own scale:
//   y8 = y_zero + round((a8 - a_zero) a_scale / y_scale + (b8 - b_zero) b_scale / y_scale)
// limited to [y_low, y_high]. Gradients: da = db = dy where y reached no limit.

#include "engine/ops/op_table.h"
#include "engine/ops/q_layer.h"

namespace tinytl {
namespace {

OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[0].dtype == DType::kI8 && in[0] == in[1], node, in,
        "takes two i8 tensors of one shape");
  check_levels(node, in);
  return {in[0]};
}

void forward(const Node& node, const KernelArgs& t) {
  const Attributes& a = node.attributes;
  const auto level = [&](const char* name) { return static_cast<int32_t>(a.integer(name)); };
  const float y_scale = a.number("y_scale");
  const tt_add_scales q{.a_zero = level("a_zero"),
                        .b_zero = level("b_zero"),
                        .y_zero = level("y_zero"),
                        .low = level("y_low"),
                        .high = level("y_high"),
                        .a_factor = a.number("a_scale") / y_scale,
                        .b_factor = a.number("b_scale") / y_scale,
                        .fixed_point = level("fixed_point")};
  const Share s = t.share(t.out_type().elements(), 64);
  t.kernels().add_q8(&q, t.i8(0) + s.begin, t.i8(1) + s.begin, s.size(), t.out_i8() + s.begin);
}

void vjp(GradBuilder& grad) {
  const ValueId dy = dy_within_limits(grad);
  for (const size_t i : {0, 1}) {
    if (grad.wants(i)) grad.set(i, dy);
  }
}

}  // namespace

const OpDef kQAdd{.name = "QAdd",
                  .infer = infer,
                  .forward = forward,
                  .vjp = vjp,
                  .divides = true,
                  .in_place = 0b11};

}  // namespace tinytl

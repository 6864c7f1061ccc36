// Add: z = x + y, with broadcasting. Gradients: dx = dz, dy = dz, summed where broadcast.
//
// Attributes low, high, mask and keep as in op_helpers.h, where the shapes agree; then x, y and z
// may be kRow8.

#include "engine/ops/broadcast.h"
#include "engine/ops/op_table.h"
#include "engine/ops/row_codes.h"

namespace tinytl {
namespace {

enum { kX, kY };

OutputTypes infer(const Node& node, InputTypes in) {
  if (has_row8(node, in)) {
    check(own_inputs(node, in) == 2 && in[kX].rank() > 0 && in[kX].shape == in[kY].shape, node, in,
          "takes two tensors of one shape where one is kRow8");
    return with_mask(node, in, gradient_result(node, in[kX].shape));
  }
  const OutputTypes z = infer_broadcast(node, in.first(own_inputs(node, in)));
  check(!has_epilogue(node) || in[kX].shape == in[kY].shape, node, in, "limits need equal shapes");
  return with_mask(node, in, z[0]);
}

int64_t rows_at_once(const TensorType& type) {
  return mask_strip_rows(rows_of(type), 2 * columns_of(type));
}

size_t scratch_bytes(const Node& node, InputTypes in, const tt_kernels&) {
  if (!has_row8(node, in)) return 0;
  return 2 * static_cast<size_t>(padded(rows_at_once(in[kX]) * columns_of(in[kX]))) * sizeof(float);
}

void add_rows(const Node& node, const KernelArgs& t) {
  const int64_t step = rows_at_once(t.type(kX)), columns = columns_of(t.type(kX));
  auto* const room = static_cast<float*>(t.scratch());
  float* const y_room = room + padded(step * columns);
  const tt_epilogue epilogue = epilogue_of(node, t);
  const Share all = t.share(rows_of(t.type(kX)), kMaskRows);
  for_each_strip(t, all, step, room, [&](Share rows, float* z) {
    // z may lie over a y in f32, which leaves its room free.
    const float* x = rows_of_input(t, kX, rows, is_row8(t.type(kY)) ? z : y_room);
    const float* y = rows_of_input(t, kY, rows, y_room);
    const tt_epilogue end = shifted(epilogue, rows.begin * columns);
    t.kernels().add_layer(x, y, rows.size() * columns, &end, z);
  });
}

void forward(const Node& node, const KernelArgs& t) {
  if (has_row8(node, t)) return add_rows(node, t);
  if (t.type(kX).shape == t.type(kY).shape) {
    const Share share = t.share(t.out_type().elements(), 64);
    if (share.size() == 0) return;
    const float *x = t.f32(kX) + share.begin, *y = t.f32(kY) + share.begin;
    float* z = t.out_f32() + share.begin;
    if (!has_epilogue(node)) return t.kernels().add(x, y, share.size(), z);
    const tt_epilogue end = shifted(epilogue_of(node, t), share.begin);
    t.kernels().add_layer(x, y, share.size(), &end, z);
  } else {
    apply_broadcast(t, TT_ADD);
  }
}

void vjp(GradBuilder& grad) {
  const ValueId dy = dy_of_layer(grad);
  if (grad.wants(kX)) grad.set_reduced(kX, dy);
  if (grad.wants(kY)) grad.set_reduced(kY, dy);
}

}  // namespace

const OpDef kAdd{.name = "Add",
                 .infer = infer,
                 .forward = forward,
                 .vjp = vjp,
                 .divides = true,
                 .scratch_bytes = scratch_bytes,
                 .reads_row8 = 0b11,
                 .writes_row8 = true,
                 .in_place = 0b11};

}  // namespace tinytl

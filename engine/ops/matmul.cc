// MatMul: y[...,M,N] = op(a) . op(b), op = transpose of the last two dimensions where the
// attributes "transpose_a", "transpose_b" are 1. Leading dimensions broadcast; b of rank 2 serves
// every batch.
//
// Gradients:  da = dy . b^T      db = a^T . dy      (transposed where the operand was, and summed
// over the leading dimensions that were broadcast)

#include "engine/ops/op_table.h"
#include "engine/ops/product.h"

namespace tinytl {
namespace {

enum { kA, kB };

Shape leading(const Shape& shape) { return {shape.begin(), shape.end() - 2}; }

tt_gemm gemm_of(const Node& node, const TensorType& a, const TensorType& b) {
  const bool ta = node.attributes.integer("transpose_a") != 0;
  const bool tb = node.attributes.integer("transpose_b") != 0;
  const int64_t a_rows = a.shape[a.rank() - 2], a_cols = a.shape.back();
  const int64_t b_rows = b.shape[b.rank() - 2], b_cols = b.shape.back();
  tt_gemm g{};
  g.m = static_cast<int32_t>(ta ? a_cols : a_rows);
  g.k = static_cast<int32_t>(ta ? a_rows : a_cols);
  g.n = static_cast<int32_t>(tb ? b_rows : b_cols);
  g.a_row = ta ? 1 : a_cols;
  g.a_col = ta ? a_cols : 1;
  g.b_row = tb ? 1 : b_cols;
  g.b_col = tb ? b_cols : 1;
  g.scale_by_row = tb ? 1 : 0;
  g.factor = 1.0f;
  g.c_row = g.n;
  return g;
}

// One matrix serves every batch of a: the batches are rows of one tall product.
bool is_one_product(const Node& node, const TensorType& b) {
  return b.rank() == 2 && node.attributes.integer("transpose_a") == 0;
}

OutputTypes infer(const Node& node, InputTypes in) {
  check(own_inputs(node, in) == 2 && in[kA].rank() >= 2 && in[kB].rank() >= 2, node, in,
        "takes two tensors of rank 2 or more");
  const tt_gemm g = gemm_of(node, in[kA], in[kB]);
  const int64_t b_depth = node.attributes.integer("transpose_b") != 0
                              ? in[kB].shape.back()
                              : in[kB].shape[in[kB].rank() - 2];
  check(g.k == b_depth, node, in, "the inner dimensions differ");
  std::optional<Shape> shape = broadcast_shape(leading(in[kA].shape), leading(in[kB].shape));
  check(shape.has_value(), node, in, "the leading dimensions do not broadcast");
  shape->push_back(g.m);
  shape->push_back(g.n);
  check(in[kB].dtype != DType::kQ8 || is_one_product(node, in[kB]), node, in,
        "8-bit weights must be one matrix for all rows of a");
  return with_mask(node, in, {DType::kF32, *shape});
}

size_t scratch_bytes(const Node& node, InputTypes in, const tt_kernels& kernels) {
  return product_scratch(gemm_of(node, in[kA], in[kB]), in[kB], kernels);
}

// Index of the matrix that `operand` contributes to batch number `flat` of the output.
int64_t matrix_index(int64_t flat, const Shape& out, const Shape& operand) {
  const size_t out_lead = out.size() - 2, lead = operand.size() - 2;
  int64_t result = 0, stride = 1;
  for (size_t i = 0; i < out_lead; ++i) {
    const int64_t d = out[out_lead - 1 - i];
    const int64_t coordinate = flat % d;
    flat /= d;
    if (i < lead) {
      const int64_t od = operand[lead - 1 - i];
      result += (od == 1 ? 0 : coordinate) * stride;
      stride *= od;
    }
  }
  return result;
}

void forward(const Node& node, const KernelArgs& t) {
  tt_gemm g = gemm_of(node, t.type(kA), t.type(kB));
  g.b = t.weights(kB);
  g.epilogue = epilogue_of(node, t);
  if (is_one_product(node, t.type(kB))) {
    g.m = static_cast<int32_t>(rows_of(t.out_type()));
    g.a = t.f32(kA);
    g.c = t.out_f32();
    run_product(t, g);
    return;
  }
  const Shape& out = t.out_type().shape;
  const int64_t size = int64_t{g.m} * g.n;
  const int64_t batches = size == 0 ? 0 : t.out_type().elements() / size;
  const tt_epilogue epilogue = g.epilogue;
  const Share share = batches == 1 ? Share{0, 1} : t.share(batches);
  const int64_t a_size = int64_t{g.m} * g.k, b_size = int64_t{g.k} * g.n;
  for (int64_t i = share.begin; i < share.end; ++i) {
    g.a = t.f32(kA) + matrix_index(i, out, t.type(kA).shape) * a_size;
    g.b.f32 = t.f32(kB) + matrix_index(i, out, t.type(kB).shape) * b_size;
    g.c = t.out_f32() + i * size;
    g.epilogue = shifted(epilogue, i * size);
    if (batches == 1) {
      run_product(t, g);
    } else {
      t.kernels().gemm(&g, t.scratch());
    }
  }
}

void vjp(GradBuilder& grad) {
  const Node& node = grad.node();
  const ValueId a = node.input(kA), b = node.input(kB), dy = grad.dy();
  const int64_t ta = node.attributes.integer("transpose_a");
  const int64_t tb = node.attributes.integer("transpose_b");
  const auto product = [&](ValueId l, ValueId r, int64_t tl, int64_t tr) {
    return grad.emit(kMatMul, {l, r}, {{"transpose_a", tl}, {"transpose_b", tr}});
  };
  if (grad.wants(kB)) {
    grad.set_reduced(kB, tb != 0 ? product(dy, a, 1, ta) : product(a, dy, 1 - ta, 0));
  }
  if (grad.wants(kA)) {
    grad.set_reduced(kA, ta != 0 ? product(b, dy, tb, 1) : product(dy, b, 0, 1 - tb));
  }
}

}  // namespace

const OpDef kMatMul{.name = "MatMul",
                    .infer = infer,
                    .forward = forward,
                    .vjp = vjp,
                    .divides = true,
                    .scratch_bytes = scratch_bytes};

}  // namespace tinytl

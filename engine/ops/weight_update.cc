// The gradient of the weights of a 1x1 convolution and their update, without the whole gradient:
// some rows of it are computed in scratch and applied at once.
//
//   WeightSgdUpdate(p, rate, scale, x, dy[, velocity])             Conv2dGradWeight and SgdUpdate
//   WeightAdamUpdate(p, rate, scale, x, dy, m, v, correction)      Conv2dGradWeight and AdamUpdate
//
// Attributes: those of the update, channels (update.cc) among them: x and the state are of these
// input channels of p; kernel 1x1, stride 1, no padding. To the bits of the two nodes.
// Made by engine/schedule/fuse_layers. The idea: MCUNetV3's immediate update (Lin et al., NeurIPS
// 2022), inside a layer.

#include <algorithm>

#include "engine/ops/op_table.h"
#include "engine/ops/product.h"
#include "engine/ops/weight_channels.h"

namespace tinytl {
namespace {

enum { kP, kRate, kScale, kX, kDy, kVelocity = 5, kM = 5, kV, kCorrection };

constexpr int64_t kBlockFloats = 8 * 1024;
constexpr int64_t kRowGrain = 24;  // about a tile or two of the product
constexpr int64_t kShareGrain = 8;

// Rows of p whose gradient is in scratch at a time.
int64_t block_rows(const TensorType& p) {
  return std::max(kRowGrain, kBlockFloats / columns_of(p) / kRowGrain * kRowGrain);
}

// Of the gradient, before the scratch of the product.
int64_t block_floats(const TensorType& p, const TensorType& x) {
  const int64_t rows = std::min(block_rows(p), columns_of(x));
  return (rows * columns_of(p) + 15) / 16 * 16;
}

void check_operands(const Node& node, InputTypes in) {
  check(in[kP].rank() == 4 && in[kP].dim(0) == 1 && in[kP].dim(1) == 1, node, in,
        "p must be a 1x1 kernel");
  check(in[kX].rank() == 4 && in[kDy].rank() == 4 && rows_of(in[kX]) == rows_of(in[kDy]) &&
            columns_of(in[kX]) == channels_of(in[kP], trained_channels(node)).dim(2) &&
            columns_of(in[kDy]) == columns_of(in[kP]),
        node, in, "x and dy do not fit p");
}

OutputTypes infer_sgd(const Node& node, InputTypes in) {
  check(in.size() == 5 || in.size() == 6, node, in, "takes p, rate, scale, x, dy and a velocity");
  check_operands(node, in);
  return {};
}

OutputTypes infer_adam(const Node& node, InputTypes in) {
  check(in.size() == 8, node, in, "takes p, rate, scale, x, dy, m, v and the bias corrections");
  check_operands(node, in);
  return {};
}

tt_gemm product_of(InputTypes in) {
  return weight_product(rows_of(in[kX]), columns_of(in[kX]), columns_of(in[kDy]));
}

size_t scratch_bytes(const Node&, InputTypes in, const tt_kernels& kernels) {
  return static_cast<size_t>(block_floats(in[kP], in[kX])) * sizeof(float) +
         product_scratch(product_of(in), in[kDy], kernels);
}

// update(of_p, first, count, gradient) for one run of elements after the other: `first` of those
// that train is element `of_p` of p.
template <class Update>
void update_blocks(const Node& node, const KernelArgs& t, Update&& update) {
  float* const gradient = static_cast<float*>(t.scratch());
  const int64_t k = columns_of(t.type(kX)), n = columns_of(t.type(kDy));
  tt_gemm g = weight_product(rows_of(t.type(kX)), k, n);
  g.b.f32 = t.f32(kDy);
  g.c = gradient;
  const auto channels = trained_channels(node);
  const int64_t step = block_rows(t.type(kP));
  const Share rows = t.share(k, kShareGrain);
  for (int64_t row = rows.begin; row < rows.end; row += step) {
    g.m = static_cast<int32_t>(std::min(step, rows.end - row));
    g.a = t.f32(kX) + row;
    t.kernels().gemm(&g, gradient + block_floats(t.type(kP), t.type(kX)));
    if (channels.empty()) {
      update(row * n, row * n, g.m * n, gradient);
      continue;
    }
    for (int64_t i = 0; i < g.m; ++i) {
      update(channels[static_cast<size_t>(row + i)] * n, (row + i) * n, n, gradient + i * n);
    }
  }
}

void sgd(const Node& node, const KernelArgs& t) {
  float* const velocity = t.inputs() > kVelocity ? t.mutable_f32(kVelocity) : nullptr;
  update_blocks(node, t, [&](int64_t of_p, int64_t first, int64_t count, const float* gradient) {
    t.kernels().sgd(t.mutable_f32(kP) + of_p, gradient,
                    velocity != nullptr ? velocity + first : nullptr, count, *t.f32(kRate),
                    *t.f32(kScale), node.attributes.number("momentum"),
                    static_cast<int32_t>(node.attributes.integer("nesterov")),
                    node.attributes.number("weight_decay"));
  });
}

void adam(const Node& node, const KernelArgs& t) {
  const float* correction = t.f32(kCorrection);
  update_blocks(node, t, [&](int64_t of_p, int64_t first, int64_t count, const float* gradient) {
    t.kernels().adam(t.mutable_f32(kP) + of_p, gradient, t.mutable_f32(kM) + first,
                     t.mutable_f32(kV) + first, count, *t.f32(kRate), *t.f32(kScale),
                     node.attributes.number("beta1"), node.attributes.number("beta2"),
                     node.attributes.number("epsilon"), correction[0], correction[1],
                     static_cast<int32_t>(node.attributes.integer("decoupled")),
                     node.attributes.number("weight_decay"));
  });
}

}  // namespace

const OpDef kWeightSgdUpdate{.name = "WeightSgdUpdate",
                             .infer = infer_sgd,
                             .forward = sgd,
                             .divides = true,
                             .scratch_bytes = scratch_bytes,
                             .mutates = 0b100001};
const OpDef kWeightAdamUpdate{.name = "WeightAdamUpdate",
                              .infer = infer_adam,
                              .forward = adam,
                              .divides = true,
                              .scratch_bytes = scratch_bytes,
                              .mutates = 0b1100001};

}  // namespace tinytl

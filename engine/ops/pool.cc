#include "engine/ops/pool.h"

#include <algorithm>

namespace tinytl {
namespace {

int64_t windows(int64_t extent, int64_t before, int64_t after, int64_t kernel, int64_t stride,
                bool round_up) {
  const int64_t room = extent + before + after - kernel;
  if (room < 0) return 0;
  int64_t count = (room + (round_up ? stride - 1 : 0)) / stride + 1;
  // A window must begin inside the input or the padding before it, as in PyTorch.
  if (round_up && (count - 1) * stride >= extent + before) --count;
  return count;
}

void check_attributes(const Node& node, InputTypes in) {
  const auto kernel = node.attributes.integers("kernel");
  const auto strides = node.attributes.integers("strides");
  const auto pads = node.attributes.integers("pads");
  check(kernel.size() == 2 && strides.size() == 2 && pads.size() == 4, node, in,
        "needs 2 kernel sizes, 2 strides and 4 pads");
  for (size_t i = 0; i < 2; ++i) {
    check(kernel[i] > 0 && strides[i] > 0, node, in, "kernel sizes and strides must be positive");
    check(pads[i] >= 0 && pads[i] < kernel[i] && pads[i + 2] >= 0 && pads[i + 2] < kernel[i], node,
          in, "pads must be smaller than the kernel");
  }
}

// Maxima have no such attribute.
int32_t counts_pad(const Node& node) {
  constexpr std::string_view kName = "count_include_pad";
  return node.attributes.has(kName) && node.attributes.integer(kName) != 0 ? 1 : 0;
}

}  // namespace

tt_pool_shape pool_shape(const Node& node, const Shape& x) {
  const auto kernel = node.attributes.integers("kernel");
  const auto strides = node.attributes.integers("strides");
  const auto pads = node.attributes.integers("pads");
  const bool round_up = node.attributes.integer("ceil_mode") != 0;
  tt_pool_shape s{};
  const auto i32 = [](int64_t v) { return static_cast<int32_t>(v); };
  s.batch = i32(x[0]);
  s.in_h = i32(x[1]);
  s.in_w = i32(x[2]);
  s.channels = i32(x[3]);
  s.kernel_h = i32(kernel[0]);
  s.kernel_w = i32(kernel[1]);
  s.stride_h = i32(strides[0]);
  s.stride_w = i32(strides[1]);
  s.pad_top = i32(pads[0]);
  s.pad_left = i32(pads[1]);
  s.pad_bottom = i32(pads[2]);
  s.pad_right = i32(pads[3]);
  s.out_h = i32(windows(s.in_h, s.pad_top, s.pad_bottom, s.kernel_h, s.stride_h, round_up));
  s.out_w = i32(windows(s.in_w, s.pad_left, s.pad_right, s.kernel_w, s.stride_w, round_up));
  s.count_pad = counts_pad(node);
  return s;
}

OutputTypes infer_pool(const Node& node, InputTypes in) {
  check(in.size() == 1 && in[0].dtype == DType::kF32 && in[0].rank() == 4, node, in,
        "takes one f32 tensor of rank 4 (NHWC)");
  check_attributes(node, in);
  const tt_pool_shape s = pool_shape(node, in[0].shape);
  check(s.out_h > 0 && s.out_w > 0, node, in, "the kernel is larger than the padded input");
  return {{DType::kF32, {s.batch, s.out_h, s.out_w, s.channels}}};
}

OutputTypes infer_pool_grad(const Node& node, InputTypes in) {
  const auto shape = node.attributes.integers("shape");
  check(!in.empty() && in[0].rank() == 4 && shape.size() == 4, node, in,
        "takes dy of rank 4, for an input of rank 4");
  check_attributes(node, in);
  const tt_pool_shape s = pool_shape(node, Shape(shape.begin(), shape.end()));
  check(in[0].shape == Shape{s.batch, s.out_h, s.out_w, s.channels}, node, in,
        "dy does not have the shape of the pooled output");
  return {{DType::kF32, Shape(shape.begin(), shape.end())}};
}

}  // namespace tinytl

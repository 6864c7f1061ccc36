// Convolutions of 8-bit integers (q_layer.h), x [N,H,W,C] i8, w kQ8, b i32:
//
//   y8 = y_zero + round((sum (x8 - x_zero) w8 + b) x_scale w_scale[o] / y_scale)
//
// limited to [y_low, y_high]: a convolution, its activation and the rounding of its result. The sum
// is that of Conv2d or DepthwiseConv2d; padding stands for 0.
//
// Gradients: those of the f32 layer, with the weights as they are. dw reads the 8-bit x:
//   QConv2dGradWeight(x8, dy), QDepthwiseConv2dGradWeight(x8, dy)   attributes also "shape" of dw
// x becomes f32 in scratch, some rows at a time; so does dy where it is kRow8, and then of
// depthwise layers some channels at a time.

#include <algorithm>

#include "engine/ops/conv2d_attributes.h"
#include "engine/ops/layer_parts.h"
#include "engine/ops/op_table.h"
#include "engine/ops/product.h"
#include "engine/ops/q_layer.h"
#include "engine/ops/row_codes.h"

namespace tinytl {
namespace {

enum { kX, kW, kB };

template <bool kDepthwise>
OutputTypes infer(const Node& node, InputTypes in) {
  check(in.size() == 2 || in.size() == 3, node, in, "takes x, w and an optional bias");
  check(in[kX].dtype == DType::kI8 && in[kX].rank() == 4 && in[kW].dtype == DType::kQ8 &&
            in[kW].rank() == (kDepthwise ? 3 : 4),
        node, in, "x must be i8 of rank 4 and w q8");
  check_conv2d_attributes(node, in);
  check_levels(node, in);
  const tt_conv2d_shape s = conv2d_shape(node, in[kX].shape, in[kW].shape, kDepthwise);
  const bool fits = kDepthwise ? in[kX].dim(3) == in[kW].dim(2)
                               : s.groups > 0 && in[kX].dim(3) == in[kW].dim(2) * s.groups &&
                                     in[kW].dim(3) % s.groups == 0;
  check(fits, node, in, "channels of x, w and groups do not fit");
  check(s.out_h > 0 && s.out_w > 0, node, in, "the kernel is larger than the padded input");
  if (in.size() == 3) {
    check(in[kB] == TensorType{DType::kI32, {in[kW].shape.back()}}, node, in,
          "b needs one i32 per output channel");
  }
  return {{DType::kI8, {s.batch, s.out_h, s.out_w, s.out_c}}};
}

template <bool kDepthwise>
void forward(const Node& node, const KernelArgs& t) {
  const tt_conv2d_shape s = conv2d_shape(node, t.type(kX).shape, t.type(kW).shape, kDepthwise);
  const tt_requantize q = requantize_of(node, t, kW, kB);
  const int8_t* const w = t.weights(kW).q8;
  const auto kernel = kDepthwise ? t.kernels().depthwise_q8 : t.kernels().conv2d_q8;
  const Share rows = t.share(int64_t{s.batch} * s.out_h);
  for_each_run_of_rows(
      rows.begin, rows.end, s.out_h, [&](int64_t image, int32_t row, int32_t count) {
        const RowsPart part = forward_rows(s, row, count);
        const int8_t* x = t.i8(kX) + (image * s.in_h + part.first) * s.in_w * s.in_c;
        kernel(&part.shape, &q, x, w, t.out_i8() + (image * s.out_h + row) * s.out_w * s.out_c);
      });
}

Shape result_shape(const Node& node) {
  const auto shape = node.attributes.integers("shape");
  return {shape.begin(), shape.end()};
}

OutputTypes infer_grad_weight(const Node& node, InputTypes in) {
  check(in.size() == 2 && in[0].dtype == DType::kI8 && in[0].rank() == 4 && in[1].rank() == 4, node,
        in, "takes x in i8 and dy, of rank 4");
  return {{DType::kF32, result_shape(node)}};
}

// Some rows of dy, and how many rows of x they read.
struct Strip {
  RowsPart part;
  int32_t x_rows;
};

Strip strip_of(const tt_conv2d_shape& s, int32_t row, int32_t count) {
  Strip strip{forward_rows(s, row, count), 0};
  const int32_t reach = (count - 1) * s.stride_h + (s.kernel_h - 1) * s.dilation_h + 1;
  strip.x_rows = std::clamp(reach - strip.part.shape.pad_top, 1, strip.part.shape.in_h);
  strip.part.shape.in_h = strip.x_rows;
  return strip;
}

// Rows of dy at a time, so that those of x (and of dy, where that is decoded) are about as many
// floats as fit into a fast cache.
int32_t rows_at_once(const tt_conv2d_shape& s, bool decodes_dy) {
  const int64_t x_rows = std::max<int64_t>(1, kStripFloats / (int64_t{s.in_w} * s.in_c));
  const int64_t reach = int64_t{s.kernel_h - 1} * s.dilation_h;
  const int64_t rows = std::clamp<int64_t>((x_rows - reach) / s.stride_h, 1, std::max(1, s.out_h));
  return static_cast<int32_t>(decodes_dy ? strip_rows(rows, int64_t{s.out_w} * s.out_c, 1) : rows);
}

// Of x that so many rows of dy read, at most.
int64_t x_rows(const tt_conv2d_shape& s, int64_t rows) {
  const int64_t reach = int64_t{s.kernel_h - 1} * s.dilation_h + 1;
  return std::min<int64_t>(s.in_h, (rows - 1) * s.stride_h + reach);
}

// Floats of x and of dy in scratch, before that of the kernel.
struct StripRoom {
  StripRoom(const tt_conv2d_shape& s, bool decodes_dy) : rows(rows_at_once(s, decodes_dy)) {
    x = padded(x_rows(s, rows) * s.in_w * s.in_c);
    dy = decodes_dy ? padded(int64_t{rows} * s.out_w * s.out_c) : 0;
  }
  int32_t rows;
  int64_t x, dy;
};

// The same of some channels of a depthwise layer, and their gradient.
struct BlockRoom {
  explicit BlockRoom(const tt_conv2d_shape& s) {
    constexpr int64_t kGrain = 16, kFloats = kStripFloats / 2;
    const auto pixels = [&](int64_t n) { return x_rows(s, n) * s.in_w + n * s.out_w; };
    const int64_t taps = int64_t{s.kernel_h} * s.kernel_w;
    const int64_t most = kFloats / (pixels(1) + taps) / kGrain * kGrain;
    channels = std::min<int64_t>(s.in_c, std::max(kGrain, most));
    rows = 1;
    while (rows < s.out_h && (pixels(rows + 1) + taps) * channels <= kFloats) ++rows;
    x = padded(x_rows(s, rows) * s.in_w * channels);
    dy = padded(int64_t{rows} * s.out_w * channels);
    dw = taps * channels;
  }
  int64_t channels;
  int32_t rows;
  int64_t x, dy, dw;
};

template <bool kDepthwise>
size_t grad_weight_scratch(const Node& node, InputTypes in, const tt_kernels& kernels) {
  const tt_conv2d_shape s = conv2d_shape(node, in[0].shape, result_shape(node), kDepthwise);
  const bool decodes_dy = is_row8(in[1]);
  if (kDepthwise && decodes_dy) {
    const BlockRoom room(s);
    return static_cast<size_t>(room.x + room.dy + room.dw) * sizeof(float);
  }
  const StripRoom room(s, decodes_dy);
  size_t kernel = 0;
  if (!kDepthwise && is_pointwise(s)) {
    const int64_t pixels = int64_t{room.rows} * s.out_w;
    kernel = product_scratch(weight_product(pixels, s.in_c, s.out_c), in[1], kernels);
  } else if (!kDepthwise) {
    kernel = kernels.conv2d_grad_weight_scratch_bytes(&s);
  }
  return static_cast<size_t>(room.x + room.dy) * sizeof(float) + kernel;
}

// fn(strip, the first pixel of x, the pixels of dy, whether it is not the first).
template <class F>
void for_each_strip_of(const tt_conv2d_shape& s, int32_t step, F&& fn) {
  for (int32_t image = 0; image < s.batch; ++image) {
    for (int32_t row = 0; row < s.out_h; row += step) {
      const Strip strip = strip_of(s, row, std::min(step, s.out_h - row));
      const int64_t first = (int64_t{image} * s.out_h + row) * s.out_w;
      fn(strip, (int64_t{image} * s.in_h + strip.part.first) * s.in_w,
         Share{first, first + int64_t{strip.part.shape.out_h} * s.out_w}, image + row > 0 ? 1 : 0);
    }
  }
}

// x in f32.
struct Levels {
  Levels(const Node& node, const KernelArgs& args)
      : t(args),
        scale(node.attributes.number("x_scale")),
        zero(static_cast<int32_t>(node.attributes.integer("x_zero"))) {}
  void decode(int64_t from, int64_t n, float* x) const {
    t.kernels().dequantize_q8(t.i8(0) + from, n, scale, zero, x);
  }
  const KernelArgs& t;
  float scale;
  int32_t zero;
};

// Some channels at a time.
void depthwise_of_codes(const tt_conv2d_shape& s, const Levels& levels, const KernelArgs& t) {
  const BlockRoom room(s);
  auto* const x = static_cast<float*>(t.scratch());
  float* const dy = x + room.x;
  float* const dw = dy + room.dy;
  for (int64_t c = 0; c < s.in_c; c += room.channels) {
    const Share channels{c, std::min<int64_t>(s.in_c, c + room.channels)};
    for_each_strip_of(s, room.rows, [&](const Strip& strip, int64_t from, Share of_dy, int add) {
      for (int64_t p = 0; p < int64_t{strip.x_rows} * s.in_w; ++p) {
        levels.decode((from + p) * s.in_c + c, channels.size(), x + p * channels.size());
      }
      decode(t, 1, of_dy, channels, dy);
      tt_conv2d_shape part = strip.part.shape;
      part.in_c = part.out_c = part.groups = static_cast<int32_t>(channels.size());
      t.kernels().depthwise_grad_weight(&part, x, dy, 1.0f, add, dw);
    });
    for (int64_t i = 0; i < int64_t{s.kernel_h} * s.kernel_w; ++i) {
      std::copy_n(dw + i * channels.size(), channels.size(), t.out_f32() + i * s.in_c + c);
    }
  }
}

template <bool kDepthwise>
void grad_weight(const Node& node, const KernelArgs& t) {
  const tt_conv2d_shape s = conv2d_shape(node, t.type(0).shape, t.out_type().shape, kDepthwise);
  const Levels levels(node, t);
  if (kDepthwise && is_row8(t.type(1))) return depthwise_of_codes(s, levels, t);
  const StripRoom room(s, is_row8(t.type(1)));
  auto* const x = static_cast<float*>(t.scratch());
  float* const dy_room = x + room.x;
  float* const scratch = dy_room + room.dy;
  for_each_strip_of(s, room.rows, [&](const Strip& strip, int64_t from, Share of_dy, int add) {
    const tt_conv2d_shape& part = strip.part.shape;
    levels.decode(from * s.in_c, int64_t{strip.x_rows} * s.in_w * s.in_c, x);
    const float* const dy = rows_of_input(t, 1, of_dy, dy_room);
    if (kDepthwise) {
      t.kernels().depthwise_grad_weight(&part, x, dy, 1.0f, add, t.out_f32());
    } else if (is_pointwise(s)) {
      tt_gemm g = weight_product(of_dy.size(), s.in_c, s.out_c);
      g.a = x;
      g.b.f32 = dy;
      g.c = t.out_f32();
      g.accumulate = add;
      t.kernels().gemm(&g, scratch);
    } else {
      t.kernels().conv2d_grad_weight(&part, x, dy, 1.0f, add, t.out_f32(), scratch);
    }
  });
}

void conv_vjp(GradBuilder& grad) {
  quantized_layer_vjp(grad, kConv2dGradInput, kQConv2dGradWeight);
}
void depthwise_vjp(GradBuilder& grad) {
  quantized_layer_vjp(grad, kDepthwiseConv2dGradInput, kQDepthwiseConv2dGradWeight);
}

}  // namespace

const OpDef kQConv2d{.name = "QConv2d",
                     .infer = infer<false>,
                     .forward = forward<false>,
                     .vjp = conv_vjp,
                     .slices_weight = true,
                     .divides = true};
const OpDef kQDepthwiseConv2d{.name = "QDepthwiseConv2d",
                              .infer = infer<true>,
                              .forward = forward<true>,
                              .vjp = depthwise_vjp,
                              .slices_weight = true,
                              .divides = true};
const OpDef kQConv2dGradWeight{.name = "QConv2dGradWeight",
                               .infer = infer_grad_weight,
                               .forward = grad_weight<false>,
                               .scratch_bytes = grad_weight_scratch<false>,
                               .reads_row8 = 0b10};
const OpDef kQDepthwiseConv2dGradWeight{.name = "QDepthwiseConv2dGradWeight",
                                        .infer = infer_grad_weight,
                                        .forward = grad_weight<true>,
                                        .scratch_bytes = grad_weight_scratch<true>,
                                        .reads_row8 = 0b10};

}  // namespace tinytl

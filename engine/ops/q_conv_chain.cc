// QConvChain(x, w0, b0, w1, b1, ...): QConv2d and QDepthwiseConv2d layers one behind the other, a
// row at a time. What is between them never exists as a whole: its last rows are in scratch. To the
// bits of the single layers. Made by engine/schedule/stream_rows. The aim is that of patch-based
// inference (Lin et al., MCUNetV2, NeurIPS 2021), without computing anything twice.
//
// Attributes: those of the layers (q_conv2d.cc), one after the other; "depthwise" 0 or 1; "scale"
// and "zero" of x and of the result of each layer; "fixed_point" of all.

#include "engine/kernels/portable/portable.h"
#include "engine/ops/conv_chain.h"
#include "engine/ops/layer_parts.h"
#include "engine/ops/op_helpers.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

size_t weight_input(size_t layer) { return 1 + 2 * layer; }
size_t bias_input(size_t layer) { return 2 + 2 * layer; }

size_t layers_of(const Node& node) { return node.attributes.integers("depthwise").size(); }
bool is_depthwise(const Node& node, size_t i) {
  return node.attributes.integers("depthwise")[i] != 0;
}

Window window_of(const Node& node, size_t i) {
  const Attributes& a = node.attributes;
  return {a.integers("strides").subspan(2 * i, 2), a.integers("pads").subspan(4 * i, 4),
          a.integers("dilations").subspan(2 * i, 2), a.integers("groups")[i]};
}

// Calls visit(layer, shape) for each layer.
template <class TypeOf, class Visit>
void for_each_layer(const Node& node, const TypeOf& type_of, Visit&& visit) {
  Shape x = type_of(0).shape;
  for (size_t i = 0; i < layers_of(node); ++i) {
    const tt_conv2d_shape s =
        conv2d_shape(window_of(node, i), x, type_of(weight_input(i)).shape, is_depthwise(node, i));
    visit(i, s);
    x = {s.batch, s.out_h, s.out_w, s.out_c};
  }
}

OutputTypes infer(const Node& node, InputTypes in) {
  const size_t layers = layers_of(node);
  check(layers >= 2 && layers <= kMostChained && in.size() == 1 + 2 * layers, node, in,
        "takes x, and w and b of two layers or more");
  check(in[0].dtype == DType::kI8 && in[0].rank() == 4, node, in, "x must be i8 of rank 4");
  Shape y;
  int32_t channels = static_cast<int32_t>(in[0].dim(3));
  for_each_layer(
      node, [&](size_t i) -> const TensorType& { return in[i]; },
      [&](size_t i, const tt_conv2d_shape& s) {
        const TensorType &w = in[weight_input(i)], &b = in[bias_input(i)];
        check(w.dtype == DType::kQ8 && b.dtype == DType::kI32 && b.elements() == s.out_c, node, in,
              "weights must be q8, biases i32");
        check(s.in_c == channels && s.out_h > 0 && s.out_w > 0, node, in, "the layers do not fit");
        channels = s.out_c;
        y = {s.batch, s.out_h, s.out_w, s.out_c};
      });
  return {{DType::kI8, y}};
}

int64_t aligned(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Of the rows of a layer that the next one, of shape `s`, reads.
int64_t row_bytes(const tt_conv2d_shape& s) {
  return aligned(int64_t{tt_chain_rows(&s)} * s.in_w * s.in_c);
}

size_t scratch_bytes(const Node& node, InputTypes in, const tt_kernels&) {
  int64_t bytes = 0;
  for_each_layer(
      node, [&](size_t i) -> const TensorType& { return in[i]; },
      [&](size_t i, const tt_conv2d_shape& s) { bytes += i > 0 ? row_bytes(s) : 0; });
  return static_cast<size_t>(bytes);
}

tt_requantize end_of(const Node& node, const KernelArgs& t, size_t i) {
  const Attributes& a = node.attributes;
  const auto scale = a.numbers("scale");
  const auto zero = a.integers("zero");
  const auto i32 = [](int64_t v) { return static_cast<int32_t>(v); };
  return {.x_zero = i32(zero[i]),
          .y_zero = i32(zero[i + 1]),
          .low = i32(a.integers("y_low")[i]),
          .high = i32(a.integers("y_high")[i]),
          .factor = scale[i] / scale[i + 1],
          .scale = t.weights(weight_input(i)).scale,
          .bias = t.i32(bias_input(i)),
          .fixed_point = i32(a.integer("fixed_point"))};
}

void forward(const Node& node, const KernelArgs& t) {
  const auto count = static_cast<int32_t>(layers_of(node));
  tt_chain_layer layers[kMostChained];
  auto* rows = static_cast<int8_t*>(t.scratch());
  for_each_layer(
      node, [&](size_t i) -> const TensorType& { return t.type(i); },
      [&](size_t i, const tt_conv2d_shape& s) {
        if (i > 0) {
          layers[i - 1].rows = rows;
          rows += row_bytes(s);
        }
        layers[i] = {
            .run = is_depthwise(node, i) ? t.kernels().depthwise_q8 : t.kernels().conv2d_q8,
            .shape = s,
            .end = end_of(node, t, i),
            .w = t.weights(weight_input(i)).q8,
            .rows = nullptr,
            .first = 0,
            .count = 0,
            .next = 0};
      });
  const tt_conv2d_shape &first = layers[0].shape, &last = layers[count - 1].shape;
  const Share share = t.share(int64_t{last.batch} * last.out_h);
  for_each_run_of_rows(
      share.begin, share.end, last.out_h, [&](int64_t image, int32_t row, int32_t run) {
        const int8_t* x = t.i8(0) + image * first.in_h * first.in_w * first.in_c;
        tt_chain_rows_q8(layers, count, x, row, row + run,
                         t.out_i8() + (image * last.out_h + row) * last.out_w * last.out_c);
      });
}

}  // namespace

int64_t chain_products(const Graph& graph, const Node& node) {
  int64_t products = 0;
  for_each_layer(
      node, [&](size_t i) -> const TensorType& { return graph.value(node.input(i)).type; },
      [&](size_t i, const tt_conv2d_shape& s) {
        const TensorType& w = graph.value(node.input(weight_input(i))).type;
        products += int64_t{s.batch} * s.out_h * s.out_w * w.elements();
      });
  return products;
}

const OpDef kQConvChain{.name = "QConvChain",
                        .infer = infer,
                        .forward = forward,
                        .divides = true,
                        .scratch_bytes = scratch_bytes};

}  // namespace tinytl

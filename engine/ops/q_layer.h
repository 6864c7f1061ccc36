// What the operators on 8-bit integers share.
//
// An i8 activation holds levels: x8 stands for x = (x8 - zero) * scale. Scale and zero are
// attributes of the nodes that write and read it: x_scale and x_zero of the input, y_scale and
// y_zero of the output, whose levels are limited to [y_low, y_high] (the layer's activation is in
// there). Weights are kQ8, biases i32 in steps of x_scale times the scale of their channel.
// fixed_point: how y is rounded (tt_requantize). Jacob et al., CVPR 2018.
//
// Gradients are f32, with respect to what the integers stand for: where y reached no limit, the
// layer is that of real numbers but for rounding, which a gradient passes straight through.
#pragma once

#include "engine/ops/op_helpers.h"

namespace tinytl {

// What the levels of an i8 value stand for.
struct LevelScale {
  float scale;
  int64_t zero;
};
// Of `id`, by the nodes that read it; empty where none of them says. O(nodes).
std::optional<LevelScale> scale_read_of(const Graph& graph, ValueId id);

// Throws InputError where an attribute of y (and x) is missing or out of range.
void check_levels(const Node& node, InputTypes in);

// The end of a layer. `w` and `b`: the inputs that are its weights and bias.
tt_requantize requantize_of(const Node& node, const KernelArgs& t, size_t w, size_t b);

// The gradient of grad.node()'s output where that reached no limit.
ValueId dy_within_limits(GradBuilder& grad);

// The attributes of a convolution and, with the shape of the result, of its gradients.
Attributes convolution_attributes(const Node& node, bool depthwise);

// y = layer(x, w, b), by the operators (dy, w) -> dx and (x, dy) -> dw.
void quantized_layer_vjp(GradBuilder& grad, const OpDef& grad_input, const OpDef& grad_weight);

}  // namespace tinytl

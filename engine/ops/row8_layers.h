// Gradients of the inputs of layers, from a dy to a dx of which one or both are kRow8
// (row_codes.h): strips of them in f32, in scratch. The bits do not depend on the strips.
#pragma once

#include "engine/ops/layer_parts.h"
#include "engine/ops/row_codes.h"

namespace tinytl {

// Which tensors of such a node are kRow8.
struct Row8Sides {
  bool dy = false, dx = false;
};

// The product `g` of all pixels, whose epilogue is that of the whole: its rows of a are those of
// input a, and of c those of output 0, to which those of input acc are added if there is one. dx
// may lie over an input of its channels.
size_t row8_product_scratch(const tt_gemm& g, const TensorType& w, Row8Sides sides,
                            const tt_kernels& kernels);
void row8_product(const KernelArgs& t, const tt_gemm& g, size_t a, std::optional<size_t> acc);

// dy is input 0 and w input 1.
size_t row8_conv2d_scratch(const tt_conv2d_shape& s, bool is_q8, Row8Sides sides,
                           const tt_kernels& kernels);
void row8_conv2d_grad_input(const KernelArgs& t, const tt_conv2d_shape& s,
                            const tt_epilogue& epilogue);

// The same, depthwise: some channels of dy at a time. With `in_place`, dx lies over dy, both kRow8:
// the stride is 1, the sizes agree, and `delay` is how many rows of dy above that of dx are read.
size_t row8_depthwise_scratch(const tt_conv2d_shape& s, bool is_q8, Row8Sides sides,
                              std::optional<int32_t> delay);
void row8_depthwise_grad_input(const KernelArgs& t, const tt_conv2d_shape& s,
                               const tt_epilogue& epilogue, int32_t delay);

}  // namespace tinytl

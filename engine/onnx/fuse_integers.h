// Layers of 8-bit integers from what a quantized ONNX file writes as layers of real numbers.
#pragma once

#include "engine/onnx/builder.h"

namespace tinytl::internal {

// Turns the Quantize behind Dequantize -> layer [-> Clip] into the integer operator of that layer:
// convolutions with kQ8 weights, sums of two tensors of one shape, global averages. The nodes that
// only it read are left behind for prune(). Whatever else the file has stays Dequantize -> f32
// operator -> Quantize; only class scores are not rounded at the end of the network.
//
// Throws InputError where the file has no such convolution.
void fuse_integers(Builder& builder, bool fixed_point);

}  // namespace tinytl::internal

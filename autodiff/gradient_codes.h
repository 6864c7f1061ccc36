// Gradients of activations in 8 bits while they wait: a lever that changes gradients a little, and
// no result of the forward pass.
#pragma once

#include "autodiff/differentiate.h"

namespace tinytl {

// Every f32 value of the backward pass that its writer and all its readers can hold in 8 bits
// becomes kRow8 (engine/ops/row_codes.h), where that saves bytes. A mask that is applied to what a
// node has just computed for nobody else becomes part of that node, so that the scale of a row is
// that of what is kept of it. Parameter gradients stay f32.
//
// `gradients` is that of differentiate(), before updates are appended; its value ids stay.
// O(edges).
void hold_gradients_in_8_bits(GradientGraph& gradients);

}  // namespace tinytl

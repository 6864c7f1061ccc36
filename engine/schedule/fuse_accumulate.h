// Residual sums without a buffer for what is added.
#pragma once

#include "engine/graph/graph.h"

namespace tinytl {

// Turns Add(p, q) into AveragePoolGradAdd(p, dy) where q is the gradient of an average pool without
// overlap, and into PointwiseAccumulate(p, a, w[, b]) where q is a pointwise convolution (or the
// input gradient of one) that nothing else reads, so that its result is never stored: the sum is
// written over p. Works on forward graphs and on the gradients that meet in a backward pass. Values
// keep their ids; the convolution is left unread, for prune.
//
// The convolution then runs where the Add stood. Left alone is what that would make worse: a
// convolution of the other phase (its input would be saved for the backward pass), or one whose
// input is larger than its result and would live longer. Where both operands fit, the later is
// taken. Expects update nodes, if any, behind all others. O(edges).
void fuse_accumulate(Graph& graph);

}  // namespace tinytl

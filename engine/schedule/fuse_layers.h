// Joins nodes that do one after the other what one kernel can do at once, in a scheduled graph.
#pragma once

#include "engine/schedule/schedule.h"

namespace tinytl {

// Forward:   a layer (Conv2d, DepthwiseConv2d, Linear, PointwiseAccumulate, Add) and its Clip; with
//            `room`, also the ClipMask of that, at steps where its mask can live sooner.
// Backward:  a gradient of an input and the MaskApply or ClipGrad of the activation in front;
//            a gradient of weights and the Accumulate that adds it to a sum over micro-batches.
// Update:    the gradient of 1x1 weights and its SgdUpdate, AdamUpdate or QSgdUpdate, where what it
// is computed
//            from is smaller than the gradient, or has room.
//
// Always where nobody else reads what lies between. Values keep their ids (those in between are
// left without a node); the nodes then stand in the order of the schedule. Steps need no
// more bytes than before where they had not room for them, but where a value is part of a larger
// one: compile() does without what raises the peak. Results keep their bits, except that sums of
// gradients round differently. O(nodes + edges).
//
// Comes after differentiation: what a gradient rule sees are the nodes the network was made of.
void fuse_layers(Graph& graph, Schedule& schedule, const Room* room = nullptr);

}  // namespace tinytl

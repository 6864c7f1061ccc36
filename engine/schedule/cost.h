// How long nodes and steps take, without running them.
//
// Decisions must come out the same on every run and machine, so they use fixed rates: those of the
// reference machine (one Zen 4 core, AVX-512), fitted by bench/cost_bench. Only for printing is the
// speed of this machine measured, as one factor.
#pragma once

#include "engine/graph/graph.h"

namespace tinytl {

// Nodes of one kind run at the same rates.
enum class CostKind : uint8_t {
  kView,       // no kernel runs
  kPointwise,  // convolution 1x1 of stride 1: a matrix product
  kPointwiseGradInput,
  kPointwiseGradWeight,
  kMatrix,  // Linear, MatMul
  kConv,    // every other convolution that is not depthwise
  kConvGradInput,
  kConvGradWeight,
  kDepthwise,
  kDepthwiseGradInput,
  kDepthwiseGradWeight,
  kMap,       // elementwise, vectorised: arithmetic, clipping, masks
  kFunction,  // elementwise with exp, tanh, pow, and what is built on them: softmax, GELU
  kSum,       // reductions
  kUpdate,    // optimizer steps
  kOther,     // pooling, norms, copies
};
inline constexpr size_t kCostKinds = static_cast<size_t>(CostKind::kOther) + 1;

struct NodeWork {
  CostKind kind = CostKind::kView;
  double flops = 0;  // multiplications and additions, rows of vectors filled up; 0: counts bytes
  double bytes = 0;  // read and written
  double far_bytes = 0;  // of them, what does not stay in a second-level cache
};
NodeWork node_work(const Graph& graph, const Node& node);

// Seconds on the reference machine: what the work costs, plus a fixed part for the call.
double seconds_of(const NodeWork& work);
// With `threads`, a node that is computed in parts (parts.h) takes its time over their number: that
// they are equal, meet at no cost and do not wait for the same memory is assumed.
double node_seconds(const Graph& graph, const Node& node, int threads = 1);
// Of a step: so many passes (micro-batches) of all nodes but the updates, and the updates once.
// O(nodes).
double step_seconds(const Graph& graph, int64_t passes = 1, int threads = 1);

// This machine's time over that of the reference machine, one thread: multiply seconds by it to
// print them. Measured, so it differs from run to run; nothing may be decided by it. A probe of a
// matrix product, a depthwise convolution and an addition: 20 ms at most on a machine half as fast,
// 200 kB.
double machine_scale();

}  // namespace tinytl

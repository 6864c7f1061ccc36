// Lite residual modules (Cai et al., TinyTL, NeurIPS 2020, section 3.3): beside the frozen main
// branch of a block, a small branch at half the resolution that learns what biases cannot.
//
//   out = main(x) + upsample(lite(x))
//   lite  = average pool 2x2 -> conv k x k, in groups, with the block's stride -> group norm ->
//   ReLU
//         -> conv 1x1 -> group norm whose scale starts at 0
//
// It keeps for the backward pass what the pool left: a quarter of the block's input.
#pragma once

#include <string>
#include <vector>

#include "tinytl/methods/find_blocks.h"

namespace tinytl {

// Defaults are the paper's.
struct LiteOptions {
  int64_t kernel = 5;  // odd; smaller where the pooled map is smaller than that
  int64_t groups = 2;  // of the first convolution; 1 where channels do not divide
  double expand = 1;   // channels between the convolutions, of those of the block's input
  int64_t pool = 2;    // side of the average pool; 1: none
  // Height of the network's input by which kernels are chosen; 0: its own. Modules learnt at one
  // resolution fit another only with the same kernels.
  int64_t nominal_resolution = 0;
  // Otherwise the last norm's shift is 0 for good: beside a bias that trains it would do nothing.
  bool trains_last_bias = false;
  uint64_t seed = 0;

  friend bool operator==(const LiteOptions&, const LiteOptions&) = default;
};

struct LiteModule {
  Block block = {};
  int64_t kernel = 0, stride = 1, channels = 0;  // of the first convolution; between the two
  std::vector<ValueId> parameters = {};          // in the order of the branch
};

struct LiteNetwork {
  Graph graph;
  std::vector<LiteModule> modules;
};

// The network with a module beside each block of find_blocks. It computes the same numbers as
// before, to the bit, until the modules are trained: their last scale is 0. Convolutions start as
// He et al. (ICCV 2015) do, normal with a variance of 2 / (k k out / groups).
//
// `ids`: the new id of every value of `graph`. Throws InputError where the network has no block, or
// an option is out of range.
LiteNetwork insert_lite_residuals(const Graph& graph, const LiteOptions& options,
                                  std::vector<ValueId>* ids = nullptr);

}  // namespace tinytl

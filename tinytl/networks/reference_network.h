// Networks of the literature by name, with random weights: to plan, measure and compare memory
// where no pretrained file is at hand.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/graph/packed.h"

namespace tinytl {

inline constexpr int64_t kImageNetResolution = 224;

// What stands between a convolution and its activation.
enum class NetworkNorm : uint8_t {
  kFolded,  // nothing: the normalisation is part of the convolution, which has a bias
  kGroup,   // group normalisation of up to 8 channels a group, behind a convolution without bias
};

struct NetworkOptions {
  int64_t batch = 1;
  int64_t resolution = kImageNetResolution;  // height and width of the input
  int64_t classes = 1000;
  NetworkNorm norm = NetworkNorm::kFolded;
  uint64_t seed = 0;
  PackedParameters packed = {};
  bool values = true;  // false: parameters stay zero, and take no memory until they are written
};

// The names that reference_network takes, without widths.
std::vector<std::string> reference_networks();
// The same for people: "proxylessnas-mobile, mobilenet-v2, ... (widths as in mobilenet-v2-0.35)".
std::string reference_networks_text();

// Input "input" f32[batch,resolution,resolution,3]; output f32[batch,classes], scores. Names of
// nodes begin with their block's: "block3.expand". A mobile network takes a width multiplier behind
// its name, as in "mobilenet-v2-0.35".
//
// Weights are uniform with the variance of He et al. (ICCV 2015), 2 / fan-in (1 / fan-in
// where no activation follows, and less in the branches of a ResNet); biases are 0, norms start as
// the identity. The same name and seed give the same bits at every resolution and batch.
//
// Throws InputError where nobody knows the name, or the resolution is smaller than the network's
// total stride.
Graph reference_network(std::string_view name, const NetworkOptions& options = {});

}  // namespace tinytl

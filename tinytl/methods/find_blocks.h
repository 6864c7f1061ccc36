// The blocks of a convolutional network: what a lite residual module is laid beside.
#pragma once

#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace tinytl {

enum class BlockKind : uint8_t {
  kInvertedResidual,  // [1x1,] depthwise, linear 1x1 (MobileNetV2, ProxylessNAS, MCUNet)
  kSeparable,         // depthwise, 1x1 with an activation behind it (MobileNetV1, DS-CNN)
  kResidual,          // convolutions beside a shortcut (ResNet)
};
const char* name_of(BlockKind kind);

// The main branch from `input` to `output`, NHWC. The block's own shortcut, if it has one, is added
// to `output` behind it, and so is the activation.
struct Block {
  BlockKind kind = BlockKind::kInvertedResidual;
  std::string name;  // of the convolution that ends the branch
  ValueId input{}, output{};
};

// The blocks in the order of the network. They do not overlap. Normalisations, paddings,
// activations and squeeze-excite gates may stand between the convolutions. O(nodes).
//
// An inverted residual block without expansion at the beginning is left out: it works at the
// highest resolution and has few channels (Cai et al., TinyTL, NeurIPS 2020).
std::vector<Block> find_blocks(const Graph& graph);

}  // namespace tinytl

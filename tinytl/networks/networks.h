// The families of networks, each with its table. `width` multiplies the channels.
#pragma once

#include "tinytl/networks/network_builder.h"

namespace tinytl {

inline constexpr int64_t kTotalStride = 32;  // of every network here

// Cai et al., ProxylessNAS, ICLR 2019: the network searched for mobile phones.
void build_proxylessnas_mobile(NetworkBuilder& network, double width);
// Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018.
void build_mobilenet_v2(NetworkBuilder& network, double width);
// Howard et al., MobileNets, arXiv:1704.04861.
void build_mobilenet_v1(NetworkBuilder& network, double width);
// He et al., Deep Residual Learning for Image Recognition, CVPR 2016; the stride of a bottleneck is
// that of its 3x3 convolution.
void build_resnet_18(NetworkBuilder& network, double width);
void build_resnet_34(NetworkBuilder& network, double width);
void build_resnet_50(NetworkBuilder& network, double width);

}  // namespace tinytl

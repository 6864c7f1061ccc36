// Depthwise separable convolutions: depthwise 3x3, then 1x1, an activation behind each.

#include "tinytl/networks/networks.h"

namespace tinytl {
namespace {

struct Row {
  int64_t channels, stride, repeat;
};

constexpr Row kRows[] = {{64, 1, 1},  {128, 2, 1}, {128, 1, 1},  {256, 2, 1}, {256, 1, 1},
                         {512, 2, 1}, {512, 1, 5}, {1024, 2, 1}, {1024, 1, 1}};

}  // namespace

void build_mobilenet_v1(NetworkBuilder& network, double width) {
  constexpr int64_t kKernel = 3;
  constexpr Activation kActivation = Activation::kRelu6;
  network.convolution("stem", {scaled_channels(32, width), kKernel, /*stride=*/2, kActivation});
  int64_t block = 0;
  for (const Row& row : kRows) {
    for (int64_t i = 0; i < row.repeat; ++i) {
      const std::string name = "block" + std::to_string(++block);
      network.depthwise(name + ".depthwise",
                        {network.channels(), kKernel, row.stride, kActivation});
      network.convolution(name + ".pointwise", {.channels = scaled_channels(row.channels, width),
                                                .activation = kActivation});
    }
  }
  network.classifier("classifier");
}

}  // namespace tinytl

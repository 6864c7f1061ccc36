// Networks of inverted residual blocks: [1x1 expand,] depthwise, linear 1x1, with a shortcut where
// the shape stays.

#include <algorithm>

#include "tinytl/networks/networks.h"

namespace tinytl {
namespace {

constexpr int64_t kStemChannels = 32, kLastChannels = 1280;

// `repeat` blocks, of which the first has the stride.
struct Row {
  int64_t kernel, expand, channels, stride, repeat;
};

constexpr Row kProxylessNasMobile[] = {
    {3, 1, 16, 1, 1},  {5, 3, 32, 2, 1},  {3, 3, 32, 1, 1},  {7, 3, 40, 2, 1},  {3, 3, 40, 1, 1},
    {5, 3, 40, 1, 2},  {7, 6, 80, 2, 1},  {5, 3, 80, 1, 3},  {5, 6, 96, 1, 1},  {5, 3, 96, 1, 3},
    {7, 6, 192, 2, 1}, {7, 6, 192, 1, 1}, {7, 3, 192, 1, 2}, {7, 6, 320, 1, 1},
};

constexpr Row kMobileNetV2[] = {
    {3, 1, 16, 1, 1}, {3, 6, 24, 2, 2},  {3, 6, 32, 2, 3},  {3, 6, 64, 2, 4},
    {3, 6, 96, 1, 3}, {3, 6, 160, 2, 3}, {3, 6, 320, 1, 1},
};

void inverted_residual(NetworkBuilder& network, const std::string& name, const Row& row,
                       int64_t channels, int64_t stride) {
  const ValueId input = network.at();
  const int64_t in = network.channels(), inner = in * row.expand;
  if (row.expand != 1) {
    network.convolution(name + ".expand", {.channels = inner, .activation = Activation::kRelu6});
  }
  network.depthwise(name + ".depthwise", {inner, row.kernel, stride, Activation::kRelu6});
  network.convolution(name + ".project", {.channels = channels});
  if (stride == 1 && in == channels) network.add(name + ".add", input);
}

void build(NetworkBuilder& network, std::span<const Row> rows, double width) {
  network.convolution("stem", {scaled_channels(kStemChannels, width), /*kernel=*/3, /*stride=*/2,
                               Activation::kRelu6});
  int64_t block = 0;
  for (const Row& row : rows) {
    for (int64_t i = 0; i < row.repeat; ++i) {
      inverted_residual(network, "block" + std::to_string(++block), row,
                        scaled_channels(row.channels, width), i == 0 ? row.stride : 1);
    }
  }
  network.convolution("features", {.channels = scaled_channels(kLastChannels, std::max(1.0, width)),
                                   .activation = Activation::kRelu6});
  network.classifier("classifier");
}

}  // namespace

void build_proxylessnas_mobile(NetworkBuilder& network, double width) {
  build(network, kProxylessNasMobile, width);
}

void build_mobilenet_v2(NetworkBuilder& network, double width) {
  build(network, kMobileNetV2, width);
}

}  // namespace tinytl

// Residual networks of basic blocks (two 3x3 convolutions) or of bottlenecks (1x1, 3x3, 1x1).

#include "tinytl/networks/networks.h"

namespace tinytl {
namespace {

constexpr int64_t kStages = 4, kFirstChannels = 64, kBottleneck = 4;

struct ResidualStages {
  int64_t blocks[kStages];
  bool bottleneck;

  int64_t count() const { return blocks[0] + blocks[1] + blocks[2] + blocks[3]; }
};

constexpr ResidualStages k18{{2, 2, 2, 2}, false}, k34{{3, 4, 6, 3}, false},
    k50{{3, 4, 6, 3}, true};

// Ends in a convolution without activation, whose start keeps the sum of all blocks from growing
// with their number.
void main_branch(NetworkBuilder& network, const std::string& name, int64_t inner, int64_t stride,
                 const ResidualStages& stages) {
  const double gain = 1.0 / static_cast<double>(stages.count());
  constexpr Activation kRelu = Activation::kRelu;
  if (!stages.bottleneck) {
    network.convolution(name + ".conv1", {inner, 3, stride, kRelu});
    network.convolution(name + ".conv2", {.channels = inner, .kernel = 3, .gain = gain});
    return;
  }
  network.convolution(name + ".conv1", {.channels = inner, .activation = kRelu});
  network.convolution(name + ".conv2", {inner, 3, stride, kRelu});
  network.convolution(name + ".conv3", {.channels = inner * kBottleneck, .gain = gain});
}

void block(NetworkBuilder& network, const std::string& name, int64_t inner, int64_t stride,
           const ResidualStages& stages) {
  const ValueId input = network.at();
  const int64_t in = network.channels();
  main_branch(network, name, inner, stride, stages);
  const ValueId main = network.at();
  const int64_t out = network.channels();
  ValueId shortcut = input;
  if (stride != 1 || in != out) {
    network.go_to(input);
    network.convolution(name + ".shortcut", {.channels = out, .stride = stride});
    shortcut = network.at();
    network.go_to(main);
  }
  network.add(name + ".add", shortcut);
  network.activation(name, Activation::kRelu);
}

void build(NetworkBuilder& network, const ResidualStages& stages) {
  network.convolution("stem", {kFirstChannels, /*kernel=*/7, /*stride=*/2, Activation::kRelu});
  network.max_pool("stem.pool", /*kernel=*/3, /*stride=*/2);
  int64_t number = 0, inner = kFirstChannels;
  for (int64_t stage = 0; stage < kStages; ++stage, inner *= 2) {
    for (int64_t i = 0; i < stages.blocks[stage]; ++i) {
      block(network, "block" + std::to_string(++number), inner, i == 0 && stage > 0 ? 2 : 1,
            stages);
    }
  }
  network.classifier("classifier");
}

}  // namespace

void build_resnet_18(NetworkBuilder& network, double) { build(network, k18); }
void build_resnet_34(NetworkBuilder& network, double) { build(network, k34); }
void build_resnet_50(NetworkBuilder& network, double) { build(network, k50); }

}  // namespace tinytl

// Layers of a network one behind the other: convolution, norm, activation.
#pragma once

#include <string>

#include "tinytl/networks/reference_network.h"

namespace tinytl {

enum class Activation : uint8_t { kNone, kRelu, kRelu6 };

struct ConvolutionLayer {
  int64_t channels = 0;  // out; of a depthwise one: as many as in
  int64_t kernel = 1, stride = 1;
  Activation activation = Activation::kNone;
  double gain = 1;  // of the variance of its weights at the start
};

// Every method appends behind at(), and moves it.
class NetworkBuilder {
 public:
  NetworkBuilder(std::string_view name, const NetworkOptions& options);

  ValueId at() const { return at_; }
  void go_to(ValueId value) { at_ = value; }
  int64_t channels() const;

  // With a padding of kernel / 2 on all sides, then the norm, then the activation.
  void convolution(const std::string& name, const ConvolutionLayer& layer);
  void depthwise(const std::string& name, const ConvolutionLayer& layer);
  void activation(const std::string& name, Activation kind);
  void max_pool(const std::string& name, int64_t kernel, int64_t stride);
  // at() + `other`.
  void add(const std::string& name, ValueId other);
  // Mean over positions and a Linear layer, whose scores become the output.
  void classifier(const std::string& name);

  Graph take() { return std::move(graph_); }

 private:
  ValueId parameter(const std::string& name, Role role, Shape shape);
  ValueId weight(const std::string& name, Shape shape, double deviation);
  // Norm and activation of the layer `node`, whose inputs are x and its weight.
  void finish(const std::string& name, const OpDef& op, ValueId weight, Attributes attributes,
              Activation kind);

  const NetworkOptions options_;
  Graph graph_;
  ValueId at_{};
};

// `channels` at a width: rounded to a multiple of 8, half up, and never below 0.9 of the value
// (Sandler et al., MobileNetV2, CVPR 2018).
int64_t scaled_channels(int64_t channels, double width);

}  // namespace tinytl

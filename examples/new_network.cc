// Builds a small MobileNetV2-style network with random weights, in C++, and writes it as ONNX.
//
//   new_network backbone.onnx
//
// 28x28 gray images, 5 classes, 62,000 parameters. scripts/make_demo_backbone.sh trains it.
// Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018.

#include <cmath>
#include <cstdio>
#include <random>

#include "engine/onnx/export.h"
#include "engine/ops/op_table.h"

namespace {

using namespace tinytl;

class NetworkBuilder {
 public:
  explicit NetworkBuilder(TensorType input) { at_ = graph_.add_input("input", std::move(input)); }

  // kernel x kernel convolution; ReLU6 unless linear.
  void convolution(const std::string& name, int64_t channels, int64_t kernel, int64_t stride,
                   bool linear = false) {
    const int64_t in = graph_.value(at_).type.dim(3);
    const double gain = linear ? 1.0 : 2.0;
    const ValueId w = weight(name, {kernel, kernel, in, channels},
                             std::sqrt(gain / static_cast<double>(kernel * kernel * in)));
    Attributes attributes = window(kernel, stride);
    attributes.set("groups", int64_t{1});
    at_ = emit(graph_, kConv2d, name, {at_, w, bias(name, channels)}, attributes);
    if (!linear) relu6(name);
  }

  void depthwise(const std::string& name, int64_t kernel, int64_t stride) {
    const int64_t channels = graph_.value(at_).type.dim(3);
    const ValueId w = weight(name, {kernel, kernel, channels},
                             std::sqrt(2.0 / static_cast<double>(kernel * kernel)));
    at_ = emit(graph_, kDepthwiseConv2d, name, {at_, w, bias(name, channels)},
               window(kernel, stride));
    relu6(name);
  }

  void inverted_residual(const std::string& name, int64_t channels, int64_t expand,
                         int64_t stride) {
    const ValueId input = at_;
    const int64_t in = graph_.value(at_).type.dim(3);
    convolution(name + ".expand", in * expand, 1, 1);
    depthwise(name + ".depthwise", 3, stride);
    convolution(name + ".project", channels, 1, 1, /*linear=*/true);
    if (stride == 1 && in == channels) at_ = emit(graph_, kAdd, name + ".add", {input, at_});
  }

  Graph classifier(const std::string& name, int64_t classes) {
    const int64_t features = graph_.value(at_).type.dim(3);
    at_ = emit(graph_, kReduceMean, name + ".pool", {at_},
               {{"axes", std::vector<int64_t>{1, 2}}, {"keepdims", int64_t{0}}});
    const ValueId w =
        weight(name, {features, classes}, std::sqrt(1.0 / static_cast<double>(features)));
    at_ = emit(graph_, kLinear, name, {at_, w, bias(name, classes)});
    graph_.outputs = {at_};
    return std::move(graph_);
  }

 private:
  static Attributes window(int64_t kernel, int64_t stride) {
    const int64_t pad = kernel / 2;
    return {{"strides", std::vector<int64_t>{stride, stride}},
            {"pads", std::vector<int64_t>{pad, pad, pad, pad}},
            {"dilations", std::vector<int64_t>{1, 1}}};
  }

  ValueId weight(const std::string& name, Shape shape, double deviation) {
    auto tensor = std::make_shared<Tensor>(TensorType{DType::kF32, std::move(shape)});
    std::normal_distribution<float> normal(0.0f, static_cast<float>(deviation));
    for (float& w : tensor->f32()) w = normal(random_);
    return graph_.add_persistent(name + ".weight", Role::kWeight, tensor);
  }

  ValueId bias(const std::string& name, int64_t channels) {
    auto tensor = std::make_shared<Tensor>(TensorType{DType::kF32, {channels}});
    return graph_.add_persistent(name + ".bias", Role::kBias, tensor);
  }

  void relu6(const std::string& name) {
    at_ = emit(graph_, kClip, name + ".relu6", {at_}, {{"low", 0.0f}, {"high", 6.0f}});
  }

  Graph graph_;
  ValueId at_;
  std::mt19937 random_{1};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: new_network FILE.onnx\n");
    return 2;
  }
  NetworkBuilder network({DType::kF32, {1, 28, 28, 1}});
  network.convolution("stem", 16, 3, 1);
  network.inverted_residual("block1", 24, 3, 2);
  network.inverted_residual("block2", 24, 4, 1);
  network.inverted_residual("block3", 32, 4, 2);
  network.inverted_residual("block4", 32, 4, 1);
  network.inverted_residual("block5", 48, 4, 1);
  network.inverted_residual("block6", 48, 4, 1);
  network.convolution("features", 160, 1, 1);
  try {
    export_onnx(network.classifier("classifier", 5), argv[1]);
  } catch (const InputError& error) {
    std::fprintf(stderr, "new_network: %s\n", error.what());
    return 3;
  }
  return 0;
}

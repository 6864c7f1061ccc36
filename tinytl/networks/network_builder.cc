#include "tinytl/networks/network_builder.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/ops/op_table.h"
#include "tinytl/data/random.h"

namespace tinytl {
namespace {

constexpr int64_t kNormChannels = 8;  // a group, at most
constexpr float kNormEpsilon = 1e-3f;

Attributes window(int64_t kernel, int64_t stride) {
  const int64_t pad = kernel / 2;
  return {{"strides", Shape{stride, stride}}, {"pads", Shape(4, pad)}, {"dilations", Shape{1, 1}}};
}

// Of weights that keep the variance of what they read, or double it for a ReLU to halve.
double deviation_of(const ConvolutionLayer& layer, int64_t fan_in) {
  const double variance = layer.activation == Activation::kNone ? 1.0 : 2.0;
  return std::sqrt(layer.gain * variance / static_cast<double>(fan_in));
}

void fill_uniform(std::span<float> values, double deviation, uint64_t seed, uint64_t stream) {
  const double bound = std::sqrt(3.0) * deviation;
  Random random(seed, stream, /*sample=*/0);
  for (float& value : values) value = static_cast<float>(random.uniform(-bound, bound));
}

int64_t norm_groups(int64_t channels) {
  int64_t size = kNormChannels;
  while (channels % size != 0) --size;
  return channels / size;
}

}  // namespace

NetworkBuilder::NetworkBuilder(std::string_view name, const NetworkOptions& options)
    : options_(options) {
  const int64_t side = options.resolution;
  graph_.source = name;
  at_ = graph_.add_input("input", {DType::kF32, {options.batch, side, side, 3}});
}

int64_t NetworkBuilder::channels() const { return graph_.value(at_).type.shape.back(); }

void NetworkBuilder::convolution(const std::string& name, const ConvolutionLayer& layer) {
  const int64_t in = channels();
  const ValueId w = weight(name + ".weight", {layer.kernel, layer.kernel, in, layer.channels},
                           deviation_of(layer, layer.kernel * layer.kernel * in));
  Attributes attributes = window(layer.kernel, layer.stride);
  attributes.set("groups", int64_t{1});
  finish(name, kConv2d, w, attributes, layer.activation);
}

void NetworkBuilder::depthwise(const std::string& name, const ConvolutionLayer& layer) {
  const ValueId w = weight(name + ".weight", {layer.kernel, layer.kernel, channels()},
                           deviation_of(layer, layer.kernel * layer.kernel));
  finish(name, kDepthwiseConv2d, w, window(layer.kernel, layer.stride), layer.activation);
}

void NetworkBuilder::finish(const std::string& name, const OpDef& op, ValueId weight,
                            Attributes attributes, Activation kind) {
  const Shape out{graph_.value(weight).type.shape.back()};
  std::vector<ValueId> inputs{at_, weight};
  if (options_.norm == NetworkNorm::kFolded) {
    inputs.push_back(parameter(name + ".bias", Role::kBias, out));
  }
  at_ = emit(graph_, op, name, inputs, std::move(attributes));
  if (options_.norm == NetworkNorm::kGroup) {
    const ValueId scale = parameter(name + ".norm.weight", Role::kWeight, out);
    if (options_.values) std::ranges::fill(graph_.value(scale).data->f32(), 1.0f);
    const ValueId shift = parameter(name + ".norm.bias", Role::kBias, out);
    at_ = emit(graph_, kGroupNorm, name + ".norm", {at_, scale, shift},
               {{"groups", norm_groups(out[0])}, {"epsilon", kNormEpsilon}});
  }
  activation(name, kind);
}

void NetworkBuilder::activation(const std::string& name, Activation kind) {
  if (kind == Activation::kNone) return;
  const bool six = kind == Activation::kRelu6;
  at_ = emit(graph_, kClip, name + (six ? ".relu6" : ".relu"), {at_},
             {{"low", 0.0f}, {"high", six ? 6.0f : std::numeric_limits<float>::infinity()}});
}

void NetworkBuilder::max_pool(const std::string& name, int64_t kernel, int64_t stride) {
  at_ = emit(graph_, kMaxPool, name, {at_},
             {{"kernel", Shape{kernel, kernel}},
              {"strides", Shape{stride, stride}},
              {"pads", Shape(4, kernel / 2)},
              {"ceil_mode", int64_t{0}}});
}

void NetworkBuilder::add(const std::string& name, ValueId other) {
  at_ = emit(graph_, kAdd, name, {at_, other});
}

void NetworkBuilder::classifier(const std::string& name) {
  const int64_t features = channels();
  at_ = emit(graph_, kReduceMean, "pool", {at_}, {{"axes", Shape{1, 2}}, {"keepdims", int64_t{0}}});
  const ValueId w = weight(name + ".weight", {features, options_.classes},
                           std::sqrt(1.0 / static_cast<double>(features)));
  const ValueId b = parameter(name + ".bias", Role::kBias, {options_.classes});
  at_ = emit(graph_, kLinear, name, {at_, w, b});
  graph_.outputs = {at_};
}

ValueId NetworkBuilder::parameter(const std::string& name, Role role, Shape shape) {
  return graph_.add_persistent(name, role,
                               std::make_shared<Tensor>(TensorType{DType::kF32, std::move(shape)}));
}

ValueId NetworkBuilder::weight(const std::string& name, Shape shape, double deviation) {
  const ValueId id = parameter(name, Role::kWeight, std::move(shape));
  if (options_.values) {
    fill_uniform(graph_.value(id).data->f32(), deviation, options_.seed, hash_text(name));
  }
  if (options_.packed.names.contains(name)) {
    Value& value = graph_.value(id);
    value.data = pack_weights(*value.data, options_.packed.as);
    value.type = value.data->type();
  }
  return id;
}

int64_t scaled_channels(int64_t channels, double width) {
  constexpr int64_t kMultiple = 8;
  const double wanted = static_cast<double>(channels) * width;
  const auto whole = static_cast<int64_t>(wanted + kMultiple / 2.0) / kMultiple * kMultiple;
  const int64_t rounded = std::max(kMultiple, whole);
  return static_cast<double>(rounded) < 0.9 * wanted ? rounded + kMultiple : rounded;
}

}  // namespace tinytl

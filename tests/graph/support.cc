#include "tests/graph/support.h"

#include <algorithm>
#include <cmath>

namespace tinytl {
namespace {

constexpr int64_t kRows = 4, kColumns = 6;

ValueId depthwise(Graph& graph, const std::string& name, ValueId x) {
  const int64_t channels = graph.value(x).type.dim(3);
  const ValueId w = add_weight(graph, name + ".weight", {3, 3, channels}, 5);
  const ValueId b = add_bias(graph, name + ".bias", {channels}, 6);
  return emit(graph, kDepthwiseConv2d, name, {x, w, b},
              {{"strides", std::vector<int64_t>{1, 1}},
               {"pads", std::vector<int64_t>{1, 1, 1, 1}},
               {"dilations", std::vector<int64_t>{1, 1}}});
}

ValueId residual_block(Graph& graph, const std::string& name, ValueId x) {
  const int64_t channels = graph.value(x).type.dim(3);
  ValueId y = relu6(graph, name + ".relu1",
                    convolution(graph, name + ".expand", x, 2 * channels, /*kernel=*/1));
  y = relu6(graph, name + ".relu2", depthwise(graph, name + ".depthwise", y));
  y = convolution(graph, name + ".project", y, channels, /*kernel=*/1);
  return emit(graph, kAdd, name + ".add", {x, y});
}

// One more value of the random network, from earlier ones.
ValueId random_value(Graph& g, const std::vector<ValueId>& values, ValueId shared_weight,
                     std::mt19937& rng) {
  const auto pick = [&] { return values[rng() % values.size()]; };
  const std::string name = std::to_string(g.nodes().size());
  const auto seed = static_cast<uint32_t>(rng());
  const auto reshape = [&](ValueId v, Shape shape) {
    return emit(g, kReshape, name, {v}, {{"shape", std::move(shape)}});
  };
  switch (rng() % 10) {
    case 0:
      return emit(g, kAdd, name, {pick(), pick()});
    case 1:
      return emit(g, kMul, name, {pick(), pick()});
    case 2:
      return relu6(g, name, pick());
    case 3:
      return emit(g, kSigmoid, name, {pick()});
    case 4:
      return linear(g, name, pick(), kColumns);
    case 5:
      return emit(g, kLinear, name, {pick(), shared_weight});
    case 6:
      return reshape(reshape(pick(), {kRows / 2, 2 * kColumns}), {kRows, kColumns});
    case 7:
      return emit(
          g, kMul, name,
          {pick(), reshape(add_weight(g, name + ".weight", {kColumns}, seed), {1, kColumns})});
    case 8:
      return emit(g, kAdd, name, {pick(), add_bias(g, name + ".bias", {kColumns}, seed)});
    default:
      return emit(g, kTanh, name, {pick()});
  }
}

}  // namespace

std::shared_ptr<Tensor> random_tensor(Shape shape, uint32_t seed, float scale) {
  auto tensor = std::make_shared<Tensor>(TensorType{DType::kF32, std::move(shape)});
  std::mt19937 rng(seed);
  for (float& v : tensor->f32()) {
    v = scale * (static_cast<float>(rng() % 20001) / 10000.0f - 1.0f);
  }
  return tensor;
}

ValueId add_weight(Graph& graph, std::string name, Shape shape, uint32_t seed) {
  int64_t fan_in = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) fan_in *= shape[i];
  const float scale = 1.5f / std::sqrt(static_cast<float>(fan_in));
  return graph.add_persistent(std::move(name), Role::kWeight,
                              random_tensor(std::move(shape), seed, scale));
}

ValueId add_bias(Graph& graph, std::string name, Shape shape, uint32_t seed) {
  return graph.add_persistent(std::move(name), Role::kBias,
                              random_tensor(std::move(shape), seed, 0.3f));
}

ValueId relu6(Graph& graph, const std::string& name, ValueId x) {
  return emit(graph, kClip, name, {x}, {{"low", 0.0f}, {"high", 6.0f}});
}

ValueId linear(Graph& graph, const std::string& name, ValueId x, int64_t outputs) {
  const int64_t features = graph.value(x).type.shape.back();
  const ValueId w = add_weight(graph, name + ".weight", {features, outputs}, 3);
  const ValueId b = add_bias(graph, name + ".bias", {outputs}, 4);
  return emit(graph, kLinear, name, {x, w, b});
}

ValueId convolution(Graph& graph, const std::string& name, ValueId x, int64_t channels,
                    int64_t kernel) {
  const ValueId w =
      add_weight(graph, name + ".weight", {kernel, kernel, graph.value(x).type.dim(3), channels});
  const ValueId b = add_bias(graph, name + ".bias", {channels});
  return emit(graph, kConv2d, name, {x, w, b},
              {{"strides", std::vector<int64_t>{1, 1}},
               {"pads", std::vector<int64_t>(4, kernel / 2)},
               {"dilations", std::vector<int64_t>{1, 1}},
               {"groups", int64_t{1}}});
}

Graph small_cnn(int64_t batch) {
  Graph g;
  g.source = "small_cnn";
  ValueId y = g.add_input("x", {DType::kF32, {batch, 8, 8, 3}});
  y = relu6(g, "stem.relu", convolution(g, "stem", y, 8, /*kernel=*/3));
  y = residual_block(g, "block1", y);
  y = residual_block(g, "block2", y);
  y = emit(g, kReduceMean, "pool", {y},
           {{"axes", std::vector<int64_t>{1, 2}}, {"keepdims", int64_t{0}}});
  g.outputs = {linear(g, "fc", y, 5)};
  return g;
}

Graph mlp(int64_t batch, int64_t features, const std::vector<int64_t>& widths) {
  Graph g;
  g.source = "mlp";
  ValueId y = g.add_input("x", {DType::kF32, {batch, features}});
  for (size_t i = 0; i < widths.size(); ++i) {
    if (i > 0) y = relu6(g, "relu" + std::to_string(i - 1), y);
    y = linear(g, "fc" + std::to_string(i), y, widths[i]);
  }
  g.outputs = {y};
  return g;
}

Graph random_network(std::mt19937& rng) {
  Graph g;
  g.source = "random_network";
  std::vector<ValueId> values{g.add_input("x", {DType::kF32, {kRows, kColumns}})};
  const ValueId shared = add_weight(g, "shared.weight", {kColumns, kColumns});
  values.push_back(emit(g, kLinear, "first", {values[0], shared}));
  const size_t count = 3 + rng() % 15;
  for (size_t i = 0; i < count; ++i) values.push_back(random_value(g, values, shared, rng));
  ValueId sum = values[1];
  for (size_t i = 2; i < values.size(); ++i) {
    if (readers(g)[index(values[i])].empty()) {
      sum = emit(g, kAdd, "sum" + std::to_string(i), {sum, values[i]});
    }
  }
  g.outputs = {emit(g, kTanh, "output", {sum})};
  return g;
}

Graph with_own_tensors(Graph graph) {
  for (size_t v = 0; v < graph.values().size(); ++v) {
    Value& value = graph.value(ValueId{static_cast<uint32_t>(v)});
    if (value.data == nullptr) continue;
    auto copy = std::make_shared<Tensor>(value.type);
    std::copy_n(value.data->bytes().data(), value.type.bytes(), copy->bytes().data());
    value.data = std::move(copy);
  }
  return graph;
}

ValueId id_of(const Graph& graph, const Value& value) {
  return ValueId{static_cast<uint32_t>(&value - graph.values().data())};
}

std::vector<ValueId> parameters_of(const Graph& graph) {
  std::vector<ValueId> ids;
  for (const Value& value : graph.values()) {
    if (is_parameter(value.role)) ids.push_back(id_of(graph, value));
  }
  return ids;
}

}  // namespace tinytl

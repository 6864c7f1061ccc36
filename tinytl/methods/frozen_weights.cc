#include "tinytl/methods/frozen_weights.h"

#include <algorithm>
#include <cmath>

#include "engine/graph/packed.h"
#include "engine/ops/op_table.h"

namespace tinytl {
namespace {

constexpr std::pair<FrozenWeights, std::string_view> kNames[] = {
    {FrozenWeights::kFloat, "float"},
    {FrozenWeights::kInt8, "int8"},
    {FrozenWeights::kKmeans, "kmeans"}};

// Whether input `i` of the node may have 8 bits, and so may what its gradient rule reads there.
bool takes_packed(const Graph& graph, const Node& node, size_t i) {
  if (node.op == &kMatMul) {
    return i == 1 && graph.value(node.input(1)).type.rank() == 2 &&
           node.attributes.integer("transpose_a") == 0;
  }
  return i == 1 && (node.op == &kConv2d || node.op == &kDepthwiseConv2d || node.op == &kLinear);
}

// By value: it is read, and only as above.
std::vector<bool> packable(const Graph& graph) {
  std::vector<bool> read(graph.values().size(), false), otherwise = read;
  for (const Node& node : graph.nodes()) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      read[index(node.inputs[i])] = true;
      if (!takes_packed(graph, node, i)) otherwise[index(node.inputs[i])] = true;
    }
  }
  for (const ValueId id : graph.outputs) otherwise[index(id)] = true;
  for (size_t v = 0; v < read.size(); ++v) read[v] = read[v] && !otherwise[v];
  return read;
}

}  // namespace

std::optional<FrozenWeights> parse_frozen_weights(std::string_view name) {
  for (const auto& [format, text] : kNames) {
    if (text == name) return format;
  }
  return std::nullopt;
}

std::string_view name_of(FrozenWeights format) {
  for (const auto& [value, text] : kNames) {
    if (value == format) return text;
  }
  return "?";
}

DType dtype_of(FrozenWeights format) {
  switch (format) {
    case FrozenWeights::kInt8:
      return DType::kQ8;
    case FrozenWeights::kKmeans:
      return DType::kTable8;
    case FrozenWeights::kFloat:
      break;
  }
  return DType::kF32;
}

void freeze_weights(Graph& network, const std::vector<ValueId>& trained, FrozenWeights format) {
  if (format == FrozenWeights::kFloat) return;
  const DType dtype = dtype_of(format);
  std::vector<bool> wanted = packable(network);
  for (const ValueId id : trained) wanted[index(id)] = false;
  for (size_t v = 0; v < wanted.size(); ++v) {
    Value& value = network.value(ValueId{static_cast<uint32_t>(v)});
    if (!wanted[v] || value.role != Role::kWeight || value.type.dtype != DType::kF32) continue;
    const TensorType type{dtype, value.type.shape};
    const auto is_finite = [](float w) { return std::isfinite(w); };
    if (type.bytes() >= value.type.bytes()) continue;
    if (!std::ranges::all_of(value.data->f32(), is_finite)) continue;
    value.data = pack_weights(*value.data, dtype);
    value.type = type;
  }
}

}  // namespace tinytl

#include "engine/schedule/parts.h"

#include "engine/schedule/cost.h"

namespace tinytl {
namespace {

size_t of_all(size_t bytes, int parts) {
  return parts == 1 ? bytes : static_cast<size_t>(parts) * scratch_stride(bytes);
}

}  // namespace

int parts_of(const Graph& graph, const Node& node, int threads) {
  // Ten times what two threads need to meet: parts are not quite equal, and caches grow cold.
  constexpr double kWorthwhile = 3e-6;
  if (threads == 1 || !node.op->divides) return 1;
  return node_seconds(graph, node) < kWorthwhile ? 1 : threads;
}

size_t scratch_stride(size_t bytes) {
  constexpr size_t kCacheLine = 64;
  return (bytes + kCacheLine - 1) / kCacheLine * kCacheLine;
}

size_t scratch_bytes(const Node& node, InputTypes in, const tt_kernels& kernels, int parts) {
  if (node.op->scratch_bytes == nullptr) return 0;
  return of_all(node.op->scratch_bytes(node, in, kernels), parts);
}

std::optional<size_t> in_place_scratch(const Node& node, InputTypes in, const tt_kernels& kernels,
                                       int parts) {
  const std::optional<size_t> bytes = node.op->in_place_scratch(node, in, kernels);
  if (!bytes.has_value()) return bytes;
  return of_all(*bytes, parts);
}

}  // namespace tinytl

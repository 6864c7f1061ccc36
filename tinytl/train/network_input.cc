#include "tinytl/train/network_input.h"

#include "engine/ops/q_layer.h"

namespace tinytl {

NetworkInput::NetworkInput(const Graph& graph)
    : id_(graph.inputs.at(0)), type_(graph.value(id_).type) {
  if (type_.dtype != DType::kI8) return;
  const auto read = scale_read_of(graph, id_);
  TT_ASSERT(read.has_value());
  levels_ = {read->scale, static_cast<int32_t>(read->zero)};
}

void NetworkInput::write(const Batch& batch, const Normalisation& normalisation,
                         const Executor& executor) const noexcept {
  if (type_.dtype == DType::kI8) {
    to_levels(batch, normalisation, levels_, executor.i8(id_).data());
  } else {
    to_float(batch, normalisation, executor.f32(id_).data());
  }
}

}  // namespace tinytl

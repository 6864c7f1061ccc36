// The input of a network, written from batches of samples.
#pragma once

#include "engine/runtime/executor.h"
#include "tinytl/data/normalise.h"

namespace tinytl {

// The first input of a graph: f32, or the 8-bit levels that its readers say.
class NetworkInput {
 public:
  explicit NetworkInput(const Graph& graph);

  const TensorType& type() const { return type_; }  // [batch, ...]
  // Into an executor of that graph. Allocates nothing.
  void write(const Batch& batch, const Normalisation& normalisation,
             const Executor& executor) const noexcept;

 private:
  ValueId id_;
  TensorType type_;
  InputLevels levels_{};  // where it is i8
};

}  // namespace tinytl

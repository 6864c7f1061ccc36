// From a checked ONNX model to a Graph.
#pragma once

#include "engine/graph/graph.h"
#include "engine/onnx/import.h"
#include "engine/onnx/layout.h"
#include "engine/onnx/read.h"

namespace tinytl::internal {

struct Translation {
  Graph graph;
  std::vector<Order> input_orders;  // how each of graph.inputs stores the file's tensor
  // Outputs of the file that do not depend on its inputs; they are not among graph.outputs.
  std::map<std::string, LiteralPtr> constant_outputs;
};

// Frees every constant of the file as it goes. Throws InputError that lists every node that is not
// supported.
Translation translate(OnnxFile file, const ImportOptions& options);

}  // namespace tinytl::internal

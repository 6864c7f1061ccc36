// From a Graph back to a standard .onnx file.
#pragma once

#include <filesystem>

#include "engine/graph/graph.h"

namespace tinytl {

// Writes a float inference graph as ONNX opset 13: NCHW and OIHW around convolutions, batch
// dimension open ("N") where the graph allows. Parameters keep their names. An input of rank 4 that
// feeds a convolution or pooling, or that import_onnx had stored with its channels last, becomes
// NCHW.
//
// The file appears complete or not at all (engine/graph/replace_file.h). Needs memory for one
// tensor beside the graph.
//
// Throws InputError where the file cannot be written, or where an operator has no ONNX form.
void export_onnx(const Graph& inference_graph, const std::filesystem::path& file);

}  // namespace tinytl

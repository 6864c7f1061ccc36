// The ONNX form of each operator of the Graph: one function an operator, which exports
// exporter.node().
#pragma once

#include <map>

#include "engine/onnx/exporter.h"

namespace tinytl::internal {

using ExportRule = void (*)(Exporter&);
using ExportTable = std::map<const OpDef*, ExportRule>;

void add_layer_exports(ExportTable& table);
void add_map_exports(ExportTable& table);
void add_shape_exports(ExportTable& table);
void add_integer_exports(ExportTable& table);

// The tensor that holds input 0 of the node without moving it, and in which order.
Held as_held(Exporter& exporter);

}  // namespace tinytl::internal

// A memory plan as one web page that explains itself.
#pragma once

#include "tinytl/cli/plan_picture.h"
#include "tinytl/train/memory_report.h"

namespace tinytl::cli {

// One self-contained HTML file, light and dark, that works from the disk: headline figures, the
// picture with a box that tells about the tensor under the pointer, the tensors that make the lower
// bound, and every saved activation with the nodes that keep it.
std::string plan_html(const Program& program, const PlanTitle& title, const MemoryReport& memory);

}  // namespace tinytl::cli

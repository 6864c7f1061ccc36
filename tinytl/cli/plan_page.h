// A memory plan as one web page that explains itself.
#pragma once

#include <span>

#include "tinytl/cli/plan_picture.h"
#include "tinytl/train/fit_budget.h"
#include "tinytl/train/memory_report.h"

namespace tinytl::cli {

// One self-contained HTML file, light and dark, that works from the disk: headline figures, the
// picture with a box that tells about the tensor under the pointer, the tensors that make the lower
// bound, and every saved activation with the nodes that keep it. With `levers` (Setup::levers): the
// memory without them too, and what each of them saved and cost.
std::string plan_html(const Program& program, const PlanTitle& title, const MemoryReport& memory,
                      std::span<const PlannedStep> levers = {});

}  // namespace tinytl::cli

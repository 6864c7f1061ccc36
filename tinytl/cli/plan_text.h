// A memory plan as text: a chart for the terminal, and the lists that explain it.
#pragma once

#include "tinytl/cli/plan_facts.h"

namespace tinytl::cli {

// Bytes alive over the steps as a chart of block characters (UTF-8), with the phases, the lower
// bound's step and the largest tensors there. At most `columns` wide and `rows` high, but never
// narrower than 60 or lower than 14. `colour`: with the colour codes of a terminal.
std::string plan_chart(const Program& program, int columns, int rows, bool colour = false);

// Two lists, complete: the tensors alive at the lower bound's step, which add up to it; and every
// saved activation, largest first, with the nodes that keep it alive, which add up to what the
// report calls saved.
std::string explain_plan(const Program& program);

}  // namespace tinytl::cli

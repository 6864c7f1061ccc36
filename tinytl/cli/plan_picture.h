// A memory plan as a picture: steps across, bytes of the arena upwards, a rectangle a tensor.
#pragma once

#include <cstdint>
#include <string>

#include "tinytl/cli/plan_facts.h"

namespace tinytl::cli {

struct PlanTitle {
  std::string model, update;
  int64_t batch_size = 0;
};

// A self-contained SVG for paper and slides: no scripts, no outside fonts, light. Every tensor is
// a <rect id="bN"> (N: its buffer) in a group of class "tensors ROLE", with a <title> that tells
// its story. Well-formed whatever the names hold; about 300 bytes a tensor.
std::string plan_svg(const Program& program, const PlanTitle& title);

// The same from facts that are known already; `program` is the one they are of.
std::string plan_svg(const Program& program, const PlanFacts& facts, const PlanTitle& title);

}  // namespace tinytl::cli

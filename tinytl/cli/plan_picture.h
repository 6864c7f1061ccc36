// A memory plan as a picture: steps across, bytes of the arena upwards, a rectangle a tensor.
#pragma once

#include <cstdint>
#include <string>

#include "tinytl/cli/plan_facts.h"

namespace tinytl::cli {

struct PlanTitle {
  std::string model, update;
  int64_t batch_size = 0;
  std::string levers = {};  // in words, or empty: "micro-batches of 1, 4 regions in pieces"
  std::string budget = {};  // "arena budget 2MB", or empty
};

// "bias update, batch 8, micro-batches of 1  ·  arena budget 2MB".
std::string work_text(const PlanTitle& title);

// A self-contained SVG for paper and slides: no scripts, no outside fonts, light. Every tensor is
// a <rect id="bN"> (N: its buffer) in a group of class "tensors ROLE", with a <title> that tells
// its story. Well-formed whatever the names hold; about 300 bytes a tensor.
std::string plan_svg(const Program& program, const PlanTitle& title);

// The same from facts that are known already; `program` is the one they are of.
std::string plan_svg(const Program& program, const PlanFacts& facts, const PlanTitle& title);

}  // namespace tinytl::cli

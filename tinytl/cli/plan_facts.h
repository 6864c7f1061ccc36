// What the picture, the page and the texts of a memory plan say, worked out once.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/runtime/program.h"

namespace tinytl::cli {

// What a piece of the arena is for. A buffer that holds several values in turn is the first of
// these that any of them is; one that begins as an input is that or saved.
enum class PlanRole : uint8_t { kSaved, kRecomputed, kGradient, kActivation, kInput, kScratch };
inline constexpr size_t kPlanRoles = 6;
std::string_view name_of(PlanRole role);

std::string_view name_of(Phase phase);

// "0", "2.3 %", or bytes where a percentage would round to nothing: "128 B".
std::string gap_text(const MemoryPlan& plan);

// "conv5.out" of "conv5.out [channels 0:8]": names of nodes that tile() cut into pieces.
std::string_view without_piece(std::string_view name);

// "Conv2d of features.3", or only "Loss" where the node has no name.
std::string describe(const Node& node);

struct PlannedTensor {
  PlanRole role = PlanRole::kScratch;
  // Of the largest value of that role, without its piece where several pieces lie here; of scratch
  // the node.
  std::string name;
  std::string type;        // of that value; empty for scratch
  std::string written_by;  // the node or the pieces that write it, or whose scratch it is
  size_t bytes = 0;
  size_t occupied = 0;  // with the padding that brings the next tensor to an aligned offset
  size_t offset = 0;
  int first = 0, last = 0;  // steps
  std::string story;        // all of this and its readers: some lines of text for a reader
};

// A buffer with saved values in it: one, or several that share its bytes (parts, views).
struct SavedActivation {
  std::vector<ValueId> values;         // largest first
  std::string name, type, written_by;  // of the largest
  size_t bytes = 0;                    // of the buffer
  size_t buffer = 0;
  // The backward nodes that read it, in order of execution; "..., recomputed" where a node of the
  // forward pass reads it to run once more.
  std::vector<std::string> kept_by;
};

struct PlanFacts {
  std::vector<PlannedTensor> tensors;  // by buffer
  std::vector<Phase> phases;           // by step
  std::vector<size_t> live;            // by step: occupied bytes
  std::vector<size_t> saved;           // by step: bytes of PlanRole::kSaved, without padding
  int steps = 0;
  int backward_begins = 0;            // the first step after the last forward one
  std::vector<size_t> at_bound;       // buffers alive at the lower bound's step, largest first
  size_t padding_at_bound = 0;        // what `occupied` adds to `bytes` there
  std::string bound_node;             // what runs there; empty where nothing runs
  std::vector<SavedActivation> kept;  // largest first; add up to MemoryReport::saved
};

// Reads the whole program once. O(nodes + edges + tensors * log). Never throws on a compiled
// program, however empty.
PlanFacts plan_facts(const Program& program);

}  // namespace tinytl::cli

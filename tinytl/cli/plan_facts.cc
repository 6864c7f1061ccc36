#include "tinytl/cli/plan_facts.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <tuple>

#include "autodiff/differentiate.h"
#include "engine/ops/passes.h"
#include "tinytl/cli/console.h"

namespace tinytl::cli {
namespace {

constexpr size_t kAlignment = 64;  // what plan_memory gives every tensor unless told otherwise
constexpr size_t kListed = 3;      // names in a story before "and n more"

struct Context {
  const Program& program;
  std::vector<std::vector<NodeId>> readers;
  std::vector<bool> saved;   // by value
  std::vector<int> step_of;  // by node
};

Context context_of(const Program& program) {
  const Graph& graph = program.graph;
  Context c{program, readers(graph), std::vector<bool>(graph.values().size(), false),
            std::vector<int>(graph.nodes().size(), 0)};
  for (const ValueId id : saved_values(graph)) c.saved[index(id)] = true;
  const auto& order = program.schedule.order;
  for (size_t i = 0; i < order.size(); ++i) c.step_of[index(order[i])] = static_cast<int>(i);
  return c;
}

PlanRole role_of(const Context& c, ValueId id) {
  if (c.saved[index(id)]) return PlanRole::kSaved;
  const Value& value = c.program.graph.value(id);
  if (value.producer == kNoNode) return PlanRole::kInput;
  const Phase phase = c.program.graph.node(value.producer).phase;
  if (phase == Phase::kForward) return PlanRole::kActivation;
  return phase == Phase::kRecompute ? PlanRole::kRecomputed : PlanRole::kGradient;
}

// Pieces of the same node as one: "Conv2d of conv5.out (4 pieces)", where the first of them is.
std::vector<std::string> pieces_together(const std::vector<std::string>& names) {
  std::map<std::string_view, size_t> count;
  for (const std::string& name : names) ++count[without_piece(name)];
  std::vector<std::string> result;
  std::set<std::string_view> done;
  for (const std::string& name : names) {
    const std::string_view whole = without_piece(name);
    if (whole.size() == name.size() || count[whole] == 1) {
      result.push_back(name);
    } else if (done.insert(whole).second) {
      result.push_back(fmt::format("{} ({} pieces)", whole, count[whole]));
    }
  }
  return result;
}

// The first few, then how many more.
std::string listed(const std::vector<std::string>& all, std::string_view between) {
  const std::vector<std::string> names = pieces_together(all);
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kListed); ++i) {
    text += (i > 0 ? std::string(between) : "") + names[i];
  }
  if (names.size() > kListed) text += fmt::format(" and {} more", names.size() - kListed);
  return text;
}

std::string writer_of(const Graph& graph, ValueId id) {
  const NodeId producer = graph.value(id).producer;
  return producer == kNoNode ? "the caller, before the step" : describe(graph.node(producer));
}

std::vector<std::string> readers_of(const Context& c, const std::vector<ValueId>& values) {
  std::set<std::pair<int, NodeId>> in_order;
  for (const ValueId id : values) {
    for (const NodeId n : c.readers[index(id)]) in_order.insert({c.step_of[index(n)], n});
  }
  std::vector<std::string> names;
  for (const auto& [step, n] : in_order) names.push_back(describe(c.program.graph.node(n)));
  return names;
}

std::string story_of(const Context& c, const PlannedTensor& t, const std::vector<ValueId>& values) {
  const std::string size =
      fmt::format("{}, {}\noffset {}, steps {}-{}", name_of(t.role),
                  t.bytes < 1000 ? bytes_text(t.bytes)
                                 : fmt::format("{} ({} bytes)", bytes_text(t.bytes),
                                               count_text(static_cast<int64_t>(t.bytes))),
                  count_text(static_cast<int64_t>(t.offset)), t.first, t.last);
  if (values.empty()) return fmt::format("{}\n{}\nused by {}", t.name, size, t.written_by);
  std::string text = fmt::format("{}  {}\n{}\nwritten by {}", t.name, t.type, size, t.written_by);
  const std::vector<std::string> readers = readers_of(c, values);
  if (!readers.empty()) text += "\nread by " + listed(readers, ", ");
  if (values.size() > 1) {
    std::vector<std::string> writers;
    for (const ValueId id : values) writers.push_back(writer_of(c.program.graph, id));
    text += "\nholds in turn: " + listed(writers, ", ");
  }
  return text;
}

// The value that says what a buffer is for, the largest of those with that role. An input is alive
// from the first step whatever views of it the backward pass makes.
ValueId main_value(const Context& c, const std::vector<ValueId>& values) {
  const auto rank = [&](ValueId id) {
    return std::pair(role_of(c, id), SIZE_MAX - c.program.graph.value(id).type.bytes());
  };
  const ValueId main = *std::ranges::min_element(values, {}, rank);
  const bool begins_as_input = role_of(c, values.front()) == PlanRole::kInput;
  return begins_as_input && role_of(c, main) != PlanRole::kSaved ? values.front() : main;
}

// Name and writer of `id`: of all its pieces, where `values` hold more than one.
std::pair<std::string, std::string> name_and_writer(const Graph& graph, ValueId id,
                                                    const std::vector<ValueId>& values) {
  const std::string& name = graph.value(id).name;
  const std::string writer = writer_of(graph, id);
  const std::string_view whole = without_piece(name);
  std::set<std::string_view> pieces{name};
  for (const ValueId other : values) {
    const std::string& piece = graph.value(other).name;
    if (piece.size() > whole.size() && without_piece(piece) == whole) pieces.insert(piece);
  }
  if (pieces.size() == 1) return {name, writer};
  return {std::string(whole), fmt::format("{} ({} pieces)", without_piece(writer), pieces.size())};
}

PlannedTensor tensor_of(const Context& c, size_t buffer) {
  const Program& p = c.program;
  const Lifetime& life = p.buffers.lifetimes[buffer];
  PlannedTensor t;
  t.bytes = life.bytes;
  t.occupied = (life.bytes + kAlignment - 1) / kAlignment * kAlignment;
  t.offset = p.plan.offsets[buffer];
  t.first = life.first;
  t.last = life.last;
  const std::vector<ValueId>& values = p.buffers.values[buffer];
  if (!values.empty()) {
    const ValueId main = main_value(c, values);
    t.role = role_of(c, main);
    t.type = to_string(p.graph.value(main).type);
    std::tie(t.name, t.written_by) = name_and_writer(p.graph, main, values);
  } else if (p.buffers.scratch_node[buffer] != kNoNode) {
    const Node& node = p.graph.node(p.buffers.scratch_node[buffer]);
    t.name = node.name;
    t.written_by = describe(node);
  }
  t.story = story_of(c, t, values);
  return t;
}

// Sums of `bytes_of` the tensors alive at each step.
template <typename BytesOf>
std::vector<size_t> live_bytes(const PlanFacts& facts, const BytesOf& bytes_of) {
  std::vector<size_t> change(static_cast<size_t>(facts.steps) + 1, 0);  // wraps, and adds up again
  for (const PlannedTensor& t : facts.tensors) {
    if (t.first >= facts.steps) continue;
    change[static_cast<size_t>(t.first)] += bytes_of(t);
    change[static_cast<size_t>(std::min(t.last + 1, facts.steps))] -= bytes_of(t);
  }
  change.pop_back();
  std::partial_sum(change.begin(), change.end(), change.begin());
  return change;
}

void find_bound(const Program& program, PlanFacts& facts) {
  const int step = program.plan.lower_bound_step;
  for (size_t b = 0; b < facts.tensors.size(); ++b) {
    const PlannedTensor& t = facts.tensors[b];
    if (t.first > step || t.last < step) continue;
    facts.at_bound.push_back(b);
    facts.padding_at_bound += t.occupied - t.bytes;
  }
  std::ranges::stable_sort(facts.at_bound, std::greater<>(),
                           [&](size_t b) { return facts.tensors[b].bytes; });
  if (facts.steps > 0) {
    facts.bound_node =
        describe(program.graph.node(program.schedule.order[static_cast<size_t>(step)]));
  }
}

// The nodes behind the forward pass that read these values, in order of execution.
std::vector<std::string> keepers_of(const Context& c, const std::vector<ValueId>& values) {
  const Graph& graph = c.program.graph;
  std::set<std::pair<int, NodeId>> in_order;
  for (const ValueId id : values) {
    for (const NodeId n : c.readers[index(id)]) in_order.insert({c.step_of[index(n)], n});
  }
  std::vector<std::string> names;
  for (const auto& [step, n] : in_order) {
    const Node& node = graph.node(n);
    if (node.phase == Phase::kForward) continue;
    if (condenses_forward_values(graph, node)) continue;
    names.push_back(describe(node) + (node.phase == Phase::kRecompute ? ", recomputed" : ""));
  }
  return names;
}

void find_kept(const Context& c, PlanFacts& facts) {
  const Graph& graph = c.program.graph;
  std::map<size_t, std::vector<ValueId>> in_buffer;
  for (const ValueId id : saved_values(graph)) {
    const auto buffer = c.program.buffers.of_value[index(id)];
    if (buffer.has_value()) in_buffer[*buffer].push_back(id);  // else part of a parameter
  }
  for (auto& [buffer, values] : in_buffer) {
    std::ranges::stable_sort(values, std::greater<>(),
                             [&](ValueId id) { return graph.value(id).type.bytes(); });
    SavedActivation saved;
    std::tie(saved.name, saved.written_by) = name_and_writer(graph, values.front(), values);
    saved.type = to_string(graph.value(values.front()).type);
    saved.bytes = c.program.buffers.lifetimes[buffer].bytes;
    saved.buffer = buffer;
    saved.kept_by = keepers_of(c, values);
    saved.values = std::move(values);
    facts.kept.push_back(std::move(saved));
  }
  std::ranges::stable_sort(facts.kept, std::greater<>(), &SavedActivation::bytes);
}

}  // namespace

std::string_view name_of(PlanRole role) {
  constexpr std::string_view kNames[kPlanRoles] = {"saved activation", "recomputed", "gradient",
                                                   "activation",       "input",      "scratch"};
  return kNames[static_cast<size_t>(role)];
}

std::string_view name_of(Phase phase) {
  if (phase == Phase::kForward) return "forward";
  if (phase == Phase::kBackward) return "backward";
  return phase == Phase::kUpdate ? "update" : "recompute";
}

std::string gap_text(const MemoryPlan& plan) {
  const size_t above = plan.arena_bytes - plan.lower_bound_bytes;
  if (above == 0) return "0";
  return plan.gap() < 0.0005 ? bytes_text(above) : percent_text(plan.gap());
}

std::string_view without_piece(std::string_view name) {
  if (!name.ends_with(']')) return name;
  for (const std::string_view begin : {" [channels ", " [rows "}) {
    const size_t at = name.rfind(begin);
    if (at != std::string_view::npos) return name.substr(0, at);
  }
  return name;
}

std::string describe(const Node& node) {
  const std::string op(node.op->name);
  return node.name.empty() || node.name == op ? op : op + " of " + node.name;
}

PlanFacts plan_facts(const Program& program) {
  const Context context = context_of(program);
  PlanFacts facts;
  facts.steps = static_cast<int>(program.schedule.order.size());
  for (int i = 0; i < facts.steps; ++i) {
    const NodeId id = program.schedule.order[static_cast<size_t>(i)];
    facts.phases.push_back(program.graph.node(id).phase);
    if (facts.phases.back() == Phase::kForward) facts.backward_begins = i + 1;
  }
  for (size_t b = 0; b < program.buffers.lifetimes.size(); ++b) {
    facts.tensors.push_back(tensor_of(context, b));
  }
  facts.live = live_bytes(facts, [](const PlannedTensor& t) { return t.occupied; });
  facts.saved = live_bytes(
      facts, [](const PlannedTensor& t) { return t.role == PlanRole::kSaved ? t.bytes : 0; });
  find_bound(program, facts);
  find_kept(context, facts);
  return facts;
}

}  // namespace tinytl::cli

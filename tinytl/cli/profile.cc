#include "tinytl/cli/profile.h"

#include <algorithm>
#include <numeric>

#include "engine/ops/op.h"
#include "engine/schedule/cost.h"
#include "tinytl/cli/plan_facts.h"

namespace tinytl::cli {
namespace {

std::vector<ProfiledNode> nodes_of(const Session& session) {
  const Graph& graph = session.step_program().graph;
  std::vector<ProfiledNode> nodes;
  for (const NodeId id : session.step_nodes()) {
    const Node& node = graph.node(id);
    const NodeWork work = node_work(graph, node);
    nodes.push_back({.name = node.name,
                     .op = std::string(node.op->name),
                     .phase = node.phase,
                     .type = node.outputs.empty() ? "" : to_string(graph.value(node.output()).type),
                     .flops = work.flops,
                     .bytes = work.bytes});
  }
  return nodes;
}

// Of the instructions, the first that runs only where a micro-batch ends in an update.
size_t first_update(const Session& session) {
  const Program& program = session.step_program();
  const auto every_time = std::span(program.schedule.order).first(program.schedule.first_update);
  return static_cast<size_t>(std::ranges::count_if(
      every_time, [&](NodeId id) { return !program.buffers.elided[index(id)]; }));
}

void add(const NodeTotals& part, NodeTotals& sum) {
  sum.nodes += part.nodes;
  sum.seconds += part.seconds;
  sum.calls += part.calls;
  sum.flops += part.flops;
  sum.bytes += part.bytes;
}

template <typename NameOf>
std::vector<NodeTotals> totals_by(const Profile& profile, NameOf name_of_node) {
  std::vector<NodeTotals> groups;
  for (size_t i = 0; i < profile.nodes().size(); ++i) {
    const std::string name(name_of_node(profile.nodes()[i]));
    auto group = std::ranges::find(groups, name, &NodeTotals::name);
    if (group == groups.end()) group = groups.insert(groups.end(), {.name = name});
    add(totals_of(profile, i), *group);
  }
  return groups;
}

}  // namespace

Profile::Profile(Session& session)
    : session_(session),
      nodes_(nodes_of(session)),
      times_(nodes_.size(), first_update(session), session.micro_batches()) {}

NodeTotals totals_of(const Profile& profile, size_t node) {
  const ProfiledNode& n = profile.nodes()[node];
  const double calls = profile.times().mean_calls(node);
  return {.name = n.name,
          .nodes = 1,
          .seconds = profile.times().mean_seconds(node),
          .calls = calls,
          .flops = calls * n.flops,
          .bytes = calls * n.bytes};
}

NodeTotals totals_of(const Profile& profile) {
  NodeTotals sum{.name = "step"};
  for (size_t i = 0; i < profile.nodes().size(); ++i) add(totals_of(profile, i), sum);
  return sum;
}

std::vector<NodeTotals> totals_by_phase(const Profile& profile) {
  std::vector<NodeTotals> found =
      totals_by(profile, [](const ProfiledNode& n) { return name_of(n.phase); });
  std::vector<NodeTotals> sorted;
  for (const Phase phase : kProfilePhases) {
    const auto group = std::ranges::find(found, name_of(phase), &NodeTotals::name);
    if (group != found.end()) sorted.push_back(std::move(*group));
  }
  return sorted;
}

std::vector<NodeTotals> totals_by_op(const Profile& profile) {
  std::vector<NodeTotals> groups =
      totals_by(profile, [](const ProfiledNode& n) { return std::string_view(n.op); });
  std::ranges::stable_sort(groups, std::greater<>(), &NodeTotals::seconds);
  return groups;
}

std::vector<size_t> slowest_nodes(const Profile& profile) {
  std::vector<size_t> nodes(profile.nodes().size());
  std::iota(nodes.begin(), nodes.end(), size_t{0});
  std::ranges::stable_sort(nodes, std::greater<>(),
                           [&](size_t i) { return profile.times().mean_seconds(i); });
  return nodes;
}

nlohmann::ordered_json profile_report(const Profile& profile) {
  auto nodes = nlohmann::ordered_json::array();
  for (size_t i = 0; i < profile.nodes().size(); ++i) {
    const ProfiledNode& node = profile.nodes()[i];
    const NodeTotals totals = totals_of(profile, i);
    nodes.push_back({{"name", node.name},
                     {"op", node.op},
                     {"phase", name_of(node.phase)},
                     {"output", node.type},
                     {"calls", totals.calls},
                     {"seconds", totals.seconds},
                     {"flops", totals.flops},
                     {"bytes", totals.bytes}});
  }
  return nodes;
}

}  // namespace tinytl::cli

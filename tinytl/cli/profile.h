// tinytl-train --profile: where the time of a training step goes, by node.
#pragma once

#include <nlohmann/json.hpp>

#include "tinytl/train/session.h"

namespace tinytl::cli {

// A node as it runs, and its work in one call (engine/schedule/cost.h).
struct ProfiledNode {
  std::string name, op;
  Phase phase = Phase::kForward;
  std::string type;  // of its first output: "f32[8,32,32,16]"
  double flops = 0, bytes = 0;
};

// The nodes of a session's step, and their times once it has run.
class Profile {
 public:
  // Before Session::forget_plan. Times are recorded from start() on, until the profile is gone;
  // the session must outlive it. O(nodes), and the memory of StepTimes.
  explicit Profile(Session& session);
  ~Profile() { session_.record(nullptr); }
  Profile(const Profile&) = delete;
  Profile& operator=(const Profile&) = delete;
  void start() { session_.record(&times_); }

  const std::vector<ProfiledNode>& nodes() const { return nodes_; }  // in the order they run
  const StepTimes& times() const { return times_; }
  StepTimes& times() { return times_; }
  int64_t micro_batches() const { return session_.micro_batches(); }
  int64_t micro_batch_size() const { return session_.micro_batch_size(); }

 private:
  Session& session_;
  std::vector<ProfiledNode> nodes_;
  StepTimes times_;
};

// The phases in the order in which lists have them.
inline constexpr Phase kProfilePhases[] = {Phase::kForward, Phase::kRecompute, Phase::kBackward,
                                           Phase::kUpdate};

// What some nodes do in a step, on average.
struct NodeTotals {
  std::string name;  // of the group
  size_t nodes = 0;
  double seconds = 0, calls = 0;
  double flops = 0, bytes = 0;
};
NodeTotals totals_of(const Profile& profile, size_t node);
NodeTotals totals_of(const Profile& profile);  // of all
// In the order of kProfilePhases, those that there are.
std::vector<NodeTotals> totals_by_phase(const Profile& profile);
// By operator, the slowest first.
std::vector<NodeTotals> totals_by_op(const Profile& profile);
// Numbers of nodes, the slowest first.
std::vector<size_t> slowest_nodes(const Profile& profile);

// For --report: [{name, op, phase, output, calls, seconds, flops, bytes}], numbers of a step on
// average, in the order in which they run.
nlohmann::ordered_json profile_report(const Profile& profile);

}  // namespace tinytl::cli

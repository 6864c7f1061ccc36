#include "tinytl/train/fit_budget.h"

#include <algorithm>
#include <map>

#include "engine/ops/op_table.h"
#include "engine/runtime/program.h"
#include "engine/schedule/cost.h"
#include "engine/schedule/recompute.h"
#include "tinytl/train/inference.h"

namespace tinytl {
namespace {

// Copies of parts of parameters: cheaper to make again than to keep.
std::vector<ValueId> parameter_slices(const Graph& graph) {
  std::vector<ValueId> result;
  for (const ValueId id : saved_values(graph)) {
    const NodeId producer = graph.value(id).producer;
    if (producer == kNoNode || graph.node(producer).op != &kSlice) continue;
    if (is_persistent(graph.value(graph.node(producer).input(0)).role)) result.push_back(id);
  }
  return result;
}

size_t persistent_total(const Graph& graph) {
  const PersistentBytes bytes = persistent_bytes(graph);
  return bytes.parameters + bytes.state;
}

// Everything known of one combination of levers.
struct Trial {
  Levers levers;
  StepGraphs graphs;  // before recomputation
  Program step, forward;
  size_t arena = 0, persistent = 0;
  double seconds = 0;

  size_t training_memory() const { return arena + persistent; }
};
using TrialPtr = std::shared_ptr<const Trial>;

// Bytes alive at each step, each buffer aligned as the planner does.
std::vector<size_t> live_bytes(std::span<const Lifetime> lifetimes, size_t steps) {
  std::vector<size_t> live(steps, 0);
  for (const Lifetime& t : lifetimes) {
    for (int s = t.first; s <= t.last; ++s) live[size_t(s)] += (t.bytes + 63) / 64 * 64;
  }
  return live;
}

// The network's regions, and how finely each is cut so far.
class Pieces {
 public:
  explicit Pieces(const Graph& network) : regions_(find_regions(network)) {
    pieces_.resize(regions_.size(), 1);
    useless_.resize(regions_.size(), 0);
    for (size_t r = 0; r < regions_.size(); ++r) {
      for (const NodeId id : regions_[r].nodes) of_node_[network.node(id).name].push_back(r);
    }
  }

  std::vector<Tiling> tilings() const {
    std::vector<Tiling> result;
    for (size_t r = 0; r < regions_.size(); ++r) {
      if (pieces_[r] > 1) result.push_back({regions_[r], pieces_[r]});
    }
    return result;
  }

  // The region to cut more finely so that the node of that name needs less; none where there is
  // none. A region that is cut already goes first, then one by channels, then the longest.
  std::optional<size_t> region_for(std::string_view node_name) const {
    const std::string name(node_name.substr(0, node_name.find(" [")));
    const auto found = of_node_.find(name);
    if (found == of_node_.end()) return std::nullopt;
    std::optional<size_t> best;
    const auto rank = [&](size_t r) {
      return std::tuple(pieces_[r] > 1, regions_[r].cut == Cut::kChannels,
                        regions_[r].nodes.size());
    };
    for (const size_t r : found->second) {
      if (!can_cut(r)) continue;
      if (!best.has_value() || rank(r) > rank(*best)) best = r;
    }
    return best;
  }

  bool can_cut(size_t r) const {
    return finer(r) != pieces_[r] && useless_[r] < kPatience && !overlaps_cut_region(r);
  }
  void cut(size_t r) { pieces_[r] = finer(r); }
  int64_t count(size_t r) const { return pieces_[r]; }

  // A cut that did not help `r`: undone after the second in a row.
  void count_useless(size_t r, int64_t last_useful) {
    if (++useless_[r] >= kPatience) pieces_[r] = last_useful;
  }
  void count_useful(size_t r) { useless_[r] = 0; }

 private:
  static constexpr int kPatience = 2;

  int64_t finer(size_t r) const {
    const Region& region = regions_[r];
    if (region.cut == Cut::kRows) {
      const int64_t twice = 2 * pieces_[r];
      return twice * 2 <= region.extent ? twice : pieces_[r];
    }
    const int64_t now = channels_of_piece({region, pieces_[r]});
    constexpr int64_t kFewest = 8;
    if (now <= kFewest) return pieces_[r];
    const int64_t half = std::max(kFewest, now / 2 / kFewest * kFewest);
    return (region.extent + half - 1) / half;
  }

  bool overlaps_cut_region(size_t r) const {
    for (size_t other = 0; other < regions_.size(); ++other) {
      if (other == r || pieces_[other] == 1) continue;
      for (const NodeId id : regions_[other].nodes) {
        if (std::ranges::find(regions_[r].nodes, id) != regions_[r].nodes.end()) return true;
      }
    }
    return false;
  }

  std::vector<Region> regions_;
  std::vector<int64_t> pieces_;
  std::vector<int> useless_;  // cuts in a row that did not help
  std::map<std::string, std::vector<size_t>> of_node_;
};

// By region: the most bytes alive at any step that it could make smaller.
using Heat = std::map<size_t, size_t>;

// Adds each step with more than `target` alive to the region that most of these bytes belong to.
void add_heat(const Program& program, const Pieces& pieces, size_t target, Heat& heat) {
  const std::vector<size_t> live =
      live_bytes(program.buffers.lifetimes, program.schedule.order.size());
  std::vector<std::map<size_t, size_t>> bytes_of_region(live.size());
  for (size_t b = 0; b < program.buffers.lifetimes.size(); ++b) {
    const Lifetime& t = program.buffers.lifetimes[b];
    if (program.buffers.values[b].empty()) continue;  // scratch goes with its node's tensors
    const ValueId first = program.buffers.values[b].front();
    const auto region = pieces.region_for(program.graph.value(first).name);
    if (!region.has_value()) continue;
    for (size_t s = size_t(t.first); s <= size_t(t.last); ++s) {
      if (live[s] > target) bytes_of_region[s][*region] += t.bytes;
    }
  }
  for (size_t s = 0; s < live.size(); ++s) {
    const auto most = std::ranges::max_element(
        bytes_of_region[s], [](const auto& a, const auto& b) { return a.second < b.second; });
    if (most == bytes_of_region[s].end()) continue;
    heat[most->first] = std::max(heat[most->first], live[s]);
  }
}

class Search {
 public:
  Search(StepSource& source, const Budget& budget, int64_t batch_size)
      : source_(source), budget_(budget), batch_size_(batch_size) {}

  // Cheap levers first. Networks of different micro-batches are never held together.
  BudgetChoice run(std::span<const int64_t> micro_batches) {
    for (const int64_t m : micro_batches) cut_at(m, &Search::cut_to_budget);
    // What follows does not depend on the budget but for where it stops, so that the smallest plan
    // it finds fits where it is the budget.
    if (!best_.has_value()) smallest_.reset();
    std::vector<Levers> starts;
    for (const int64_t m : micro_batches) {
      starts.push_back({.micro_batch = m});
      starts.push_back(cut_at(m, &Search::cut_forward));
      if (!best_.has_value()) starts.push_back(cut_at(m, &Search::cut_all));
    }
    for (const Levers& start : starts) recompute_from(start);

    BudgetChoice choice;
    choice.fits = best_.has_value();
    choice.levers = choice.fits ? best_->levers : smallest_->levers;
    explain(choice, micro_batches[0]);
    return choice;
  }

 private:
  struct Result {
    Levers levers;
    size_t training_memory = 0;
    double seconds = 0;
  };

  TrialPtr plan(Levers levers) {
    Trial trial;
    trial.graphs = source_.build(levers.micro_batch, levers.tilings);
    if (levers.recomputed.empty()) {
      levers.recomputed = parameter_slices(trial.graphs.training.graph);
    }
    trial.levers = std::move(levers);
    trial.forward = inference_program(trial.graphs.inference, trial.graphs.loss, *tt_best_kernels(),
                                      {.placement_effort = 0});
    return compiled(std::move(trial));
  }

  TrialPtr with_recomputation(const Trial& start, std::vector<ValueId> recomputed) {
    Trial trial = start;
    trial.levers.recomputed = std::move(recomputed);
    return compiled(std::move(trial));
  }

  TrialPtr compiled(Trial trial) {
    const TrainingGraph& training = trial.graphs.training;
    trial.step = compile(tinytl::recompute(training.graph, trial.levers.recomputed),
                         *tt_best_kernels(), schedule_options(training));
    trial.persistent = persistent_total(trial.step.graph);
    for (Program* program : {&trial.step, &trial.forward}) {
      // Greedy placement misses by little: worth the search.
      const size_t budget = arena_budget(trial);
      if (program->plan.arena_bytes > budget && program->plan.lower_bound_bytes <= budget) {
        program->plan = plan_memory(program->buffers.lifetimes);
      }
    }
    trial.arena = std::max(trial.step.plan.arena_bytes, trial.forward.plan.arena_bytes);
    trial.seconds = batch_seconds(trial.step.graph, batch_size_ / trial.levers.micro_batch);
    note(trial);
    return std::make_shared<const Trial>(std::move(trial));
  }

  static ScheduleOptions schedule_options(const TrainingGraph& training) {
    return {.updates_last = training.accumulation_steps > 1, .placement_effort = 0};
  }

  size_t arena_budget(const Trial& trial) const {
    if (budget_.training_memory <= trial.persistent) return 0;
    return std::min(budget_.arena, budget_.training_memory - trial.persistent);
  }

  bool fits(const Trial& trial) const { return trial.arena <= arena_budget(trial); }

  void note(const Trial& trial) {
    const Result result{trial.levers, trial.training_memory(), trial.seconds};
    if (fits(trial) && (!best_.has_value() || result.seconds < best_->seconds)) best_ = result;
    const auto size = [&](const Result& r, size_t arena) {
      return budget_.training_memory == SIZE_MAX ? arena : r.training_memory;
    };
    if (!smallest_.has_value() || size(result, trial.arena) < smallest_size_) {
      smallest_ = result;
      smallest_size_ = size(result, trial.arena);
    }
  }

  // A lever more only takes more time.
  bool can_win(const Trial& trial) const {
    return !best_.has_value() || trial.seconds < best_->seconds;
  }

  Levers cut_at(int64_t micro_batch, TrialPtr (Search::*how)(Pieces&, const TrialPtr&)) {
    const TrialPtr plain = plan({.micro_batch = micro_batch});
    if (fits(*plain) || !can_win(*plain)) return {.micro_batch = micro_batch};
    Pieces pieces(source_.network(micro_batch));
    return {.micro_batch = micro_batch, .tilings = (this->*how)(pieces, plain)->levers.tilings};
  }

  TrialPtr cut_to_budget(Pieces& pieces, const TrialPtr& plain) {
    return cut(pieces, plain, arena_budget(*plain), /*forward_only=*/false);
  }

  // So that what is recomputed is recomputed in pieces.
  TrialPtr cut_forward(Pieces& pieces, const TrialPtr& plain) {
    return cut(pieces, plain, plain->forward.plan.arena_bytes / 3, /*forward_only=*/true);
  }

  // Cuts regions until no step needs more than `target`, or none can be cut to help.
  TrialPtr cut(Pieces& pieces, const TrialPtr& start, size_t target, bool forward_only) {
    const auto heat_of = [&](const Trial& trial) {
      Heat heat;
      // Below the target only where the placement has a gap.
      for (size_t limit = target; heat.empty() && limit > target / 10 * 8; limit -= target / 32) {
        if (!forward_only) add_heat(trial.step, pieces, limit, heat);
        add_heat(trial.forward, pieces, limit, heat);
      }
      return heat;
    };
    const auto size = [&](const Trial& trial) {
      return forward_only ? trial.forward.plan.arena_bytes : trial.arena;
    };
    TrialPtr best = start, now = start;
    for (Heat heat = heat_of(*now); size(*now) > target && !heat.empty();) {
      std::map<size_t, int64_t> before;
      for (const auto& [region, bytes] : heat) {
        if (!pieces.can_cut(region)) continue;  // one that it overlaps was cut just now
        before[region] = pieces.count(region);
        pieces.cut(region);
      }
      now = plan({.micro_batch = start->levers.micro_batch, .tilings = pieces.tilings()});
      if (size(*now) < size(*best)) best = now;
      const Heat after = heat_of(*now);
      for (const auto& [region, count] : before) {
        const auto found = after.find(region);
        const bool helped = found == after.end() || found->second < heat[region];
        helped ? pieces.count_useful(region) : pieces.count_useless(region, count);
      }
      heat = heat_of(*now);
    }
    return best;
  }

  // As far down as cutting goes.
  TrialPtr cut_all(Pieces& pieces, const TrialPtr& plain) {
    constexpr double kStep = 0.93;
    constexpr int kPatience = 3;
    TrialPtr best = plain;
    auto target = static_cast<double>(best->arena);
    for (int failures = 0; failures < kPatience && !fits(*best);) {
      target *= kStep;
      const TrialPtr next = cut(pieces, best, static_cast<size_t>(target), /*forward_only=*/false);
      failures = next->arena < best->arena ? 0 : failures + 1;
      best = next;
    }
    return best;
  }

  void recompute_from(const Levers& levers) {
    const TrialPtr start = plan(levers);
    if (fits(*start) || !can_win(*start)) return;
    const size_t floor = start->forward.plan.arena_bytes, budget = arena_budget(*start);
    if (budget >= floor && recompute(*start, budget)) return;
    if (!best_.has_value()) recompute(*start, floor);
  }

  bool recompute(const Trial& start, size_t arena_budget) {
    const ScheduleOptions options = schedule_options(start.graphs.training);
    const auto arena_of = [&](const Graph& graph) {
      return compile(graph, *tt_best_kernels(), options).plan.arena_bytes;
    };
    const RecomputeChoice choice = choose_recompute(start.graphs.training.graph, arena_budget,
                                                    arena_of, *tt_best_kernels(), options);
    return fits(*with_recomputation(start, choice.dropped));
  }

  // What each lever of the choice did, one after the other.
  void explain(BudgetChoice& choice, int64_t whole_batch) {
    const Levers& levers = choice.levers;
    const auto add = [&](std::string what, const Levers& some) {
      const TrialPtr trial = plan(some);
      choice.steps.push_back(
          {std::move(what), trial->arena, trial->training_memory(), trial->seconds});
    };
    add("no lever", {.micro_batch = whole_batch});
    if (levers.micro_batch != whole_batch) {
      add("micro-batches of " + std::to_string(levers.micro_batch),
          {.micro_batch = levers.micro_batch});
    }
    if (!levers.tilings.empty()) {
      add(std::to_string(levers.tilings.size()) + " regions in pieces",
          {.micro_batch = levers.micro_batch, .tilings = levers.tilings});
    }
    const TrialPtr last = plan(levers);
    if (last->arena == choice.steps.back().arena_bytes) return;
    choice.steps.push_back({std::to_string(levers.recomputed.size()) + " values recomputed",
                            last->arena, last->training_memory(), last->seconds});
  }

  StepSource& source_;
  const Budget budget_;
  const int64_t batch_size_;
  std::optional<Result> best_, smallest_;
  size_t smallest_size_ = 0;
};

}  // namespace

void apply_recomputation(TrainingGraph& training, std::span<const ValueId> values) {
  if (values.empty()) return;
  std::vector<ValueId> ids;
  Graph graph = recompute(training.graph, values, &ids);
  replace_graph(training, std::move(graph), ids);
}

double batch_seconds(const Graph& training, int64_t passes) {
  double pass = 0, updates = 0;
  for (const Node& node : training.nodes()) {
    (node.phase == Phase::kUpdate ? updates : pass) += node_seconds(training, node);
  }
  return pass * static_cast<double>(passes) + updates;
}

BudgetChoice fit_budget(StepSource& source, const Budget& budget, int64_t batch_size,
                        std::span<const int64_t> micro_batches) {
  TT_ASSERT(!micro_batches.empty());
  return Search(source, budget, batch_size).run(micro_batches);
}

}  // namespace tinytl

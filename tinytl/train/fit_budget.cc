#include "tinytl/train/fit_budget.h"

#include <algorithm>
#include <map>

#include "engine/ops/op_table.h"
#include "engine/schedule/cost.h"
#include "engine/schedule/recompute.h"
#include "tinytl/train/inference.h"
#include "tinytl/train/pieces.h"

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

std::string count_of(size_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

// Everything known of one combination of levers.
struct Trial {
  Levers levers;
  StepGraphs graphs;      // before recomputation
  Program step, forward;  // placed greedily: what the search is guided by is the same under every
                          // budget
  size_t arena = 0;       // of the best placement, where that decides
  size_t persistent = 0;
  double seconds = 0;

  size_t greedy_arena() const { return std::max(step.plan.arena_bytes, forward.plan.arena_bytes); }
  size_t lower_bound() const {
    return std::max(step.plan.lower_bound_bytes, forward.plan.lower_bound_bytes);
  }
};
using TrialPtr = std::shared_ptr<const Trial>;

size_t best_arena(const Trial& trial) {
  size_t arena = 0;
  for (const Program* program : {&trial.step, &trial.forward}) {
    const MemoryPlan& greedy = program->plan;
    arena = std::max(arena, greedy.arena_bytes == greedy.lower_bound_bytes
                                ? greedy.arena_bytes
                                : plan_memory(program->buffers.lifetimes).arena_bytes);
  }
  return arena;
}

// Whether anything fits is decided by plans that are tried in the same order under every budget, up
// to the first that fits: so the smallest of them fits where its size is the budget, and nothing
// fits below. Then come those that may be faster.
class Search {
 public:
  Search(StepSource& source, const Budget& budget, int64_t batch_size, int threads)
      : source_(source), budget_(budget), batch_size_(batch_size), threads_(threads) {}

  BudgetChoice run(std::span<const int64_t> micro_batches) {
    // The fewest samples need the least; the whole batch needs no sums of gradients.
    const int64_t whole = micro_batches.front(), fewest = micro_batches.back();
    cut(fewest);
    if (!best_.has_value() && whole != fewest) cut(whole);
    const bool is_tight = !best_.has_value();
    if (is_tight) recompute_most(fewest);
    if (!best_.has_value() && whole != fewest) recompute_most(whole);
    if (best_.has_value()) {
      const size_t tries = is_tight ? 1 : 2;  // the slow part, and less is to be gained
      for (const int64_t m : micro_batches) {
        if (!plain_seconds_.contains(m)) cut(m);
      }
      recompute_enough(micro_batches, tries);
      trim();
    }
    BudgetChoice choice;
    choice.fits = best_.has_value();
    choice.levers = (choice.fits ? best_ : smallest_)->levers;
    explain(choice, whole);
    return choice;
  }

 private:
  struct Result {
    Levers levers;
    size_t arena = 0, training_memory = 0;
    double seconds = 0;
  };

  // With copies of parts of parameters made again, where `pieces` makes some.
  TrialPtr plan_pieces(int64_t micro_batch, std::vector<Tiling> tilings) {
    return plan({.micro_batch = micro_batch, .tilings = std::move(tilings)}, /*slices=*/true);
  }

  TrialPtr plan(Levers levers, bool slices = false) {
    Trial trial;
    trial.graphs = source_.build(levers.micro_batch, levers.tilings);
    if (slices && !levers.tilings.empty()) {
      levers.recomputed = parameter_slices(trial.graphs.training.graph);
    }
    trial.levers = std::move(levers);
    trial.forward = inference_program(trial.graphs.inference, trial.graphs.loss, *tt_best_kernels(),
                                      {.threads = threads_, .placement_effort = 0});
    return compiled(std::move(trial));
  }

  TrialPtr with_recomputation(const Trial& start, std::vector<ValueId> recomputed) {
    Trial trial = start;
    trial.levers.recomputed = std::move(recomputed);
    return compiled(std::move(trial));
  }

  TrialPtr compiled(Trial trial) {
    TrainingGraph training = trial.graphs.training;
    apply_recomputation(training, trial.levers.recomputed);
    trial.step = compile(std::move(training.graph), *tt_best_kernels(), schedule_options(training));
    const PersistentBytes persistent = persistent_bytes(trial.step.graph);
    trial.persistent = persistent.parameters + persistent.state;
    trial.seconds =
        step_seconds(trial.step.graph, batch_size_ / trial.levers.micro_batch, threads_);
    trial.arena = placement_decides(trial) ? best_arena(trial) : trial.greedy_arena();
    note(trial);
    return std::make_shared<const Trial>(std::move(trial));
  }

  ScheduleOptions schedule_options(const TrainingGraph& training) const {
    return {.updates_last = training.accumulation_steps > 1,
            .threads = threads_,
            .placement_effort = 0};
  }

  size_t arena_budget(const Trial& trial) const {
    if (budget_.training_memory <= trial.persistent) return 0;
    return std::min(budget_.arena, budget_.training_memory - trial.persistent);
  }
  bool fits(const Trial& trial) const { return trial.arena <= arena_budget(trial); }

  // How far above the budget for training memory, then the arena.
  using Size = std::pair<size_t, size_t>;
  Size size(size_t arena, size_t training_memory) const {
    return {training_memory > budget_.training_memory ? training_memory : 0, arena};
  }

  Size size_of(const Result& result) const { return size(result.arena, result.training_memory); }

  // Greedy placement misses by little: worth the search only where that little counts.
  bool placement_decides(const Trial& trial) const {
    const size_t greedy = trial.greedy_arena(), bound = trial.lower_bound();
    const size_t budget = arena_budget(trial);
    if (greedy == bound || greedy <= budget) return false;
    if (bound <= budget || !smallest_.has_value()) return true;
    return !best_.has_value() && size(bound, bound + trial.persistent) < size_of(*smallest_);
  }

  void note(const Trial& trial) {
    const Result result{trial.levers, trial.arena, trial.arena + trial.persistent, trial.seconds};
    if (fits(trial) && (!best_.has_value() || result.seconds < best_->seconds)) best_ = result;
    if (!smallest_.has_value() || size_of(result) < size_of(*smallest_)) smallest_ = result;
  }

  // A lever more only takes more time.
  bool can_win(const Trial& trial) const {
    return !best_.has_value() || trial.seconds < best_->seconds;
  }
  bool is_done(const Trial& trial) const { return fits(trial) || !can_win(trial); }

  // Cuts regions until the plan fits, or as far down as that goes.
  void cut(int64_t micro_batch) {
    const TrialPtr plain = plan({.micro_batch = micro_batch});
    plain_seconds_[micro_batch] = plain->seconds;
    if (is_done(*plain)) return;
    Pieces pieces(source_.network(micro_batch));
    constexpr double kStep = 0.93;
    constexpr int kPatience = 3;
    TrialPtr best = plain;
    auto target = static_cast<double>(plain->greedy_arena());
    for (int failures = 0; failures < kPatience && !is_done(*best);) {
      target *= kStep;
      const TrialPtr next = cut_to(static_cast<size_t>(target), pieces, best, false);
      failures = next->greedy_arena() < best->greedy_arena() ? 0 : failures + 1;
      best = next;
    }
    finest_[micro_batch] = best->levers.tilings;
  }

  // Cuts regions until no step needs more than `target`, none can be cut to help, or it fits.
  TrialPtr cut_to(size_t target, Pieces& pieces, const TrialPtr& start, bool forward_only) {
    const auto heat_of = [&](const Trial& trial) {
      Heat heat;
      // Below the target only where the placement has a gap.
      for (size_t limit = target; heat.empty() && limit > target / 10 * 8;
           limit -= target / 32 + 1) {
        if (!forward_only) add_heat(trial.step, pieces, limit, heat);
        add_heat(trial.forward, pieces, limit, heat);
      }
      return heat;
    };
    const auto size = [&](const Trial& trial) {
      return forward_only ? trial.forward.plan.arena_bytes : trial.greedy_arena();
    };
    TrialPtr best = start, now = start;
    for (Heat heat = heat_of(*now); size(*now) > target && !heat.empty() && !is_done(*now);) {
      std::map<size_t, int64_t> before;
      for (const auto& [region, bytes] : heat) {
        if (!pieces.can_cut(region)) continue;  // one that it overlaps was cut just now
        before[region] = pieces.count(region);
        pieces.cut(region);
      }
      now = plan_pieces(start->levers.micro_batch, pieces.tilings());
      if (size(*now) < size(*best) || fits(*now)) best = now;
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

  // Towards what a pass forward takes, which recomputation does not change: from the smallest plan
  // that cutting led to, or one whose front runs in pieces, so that it is recomputed in pieces.
  void recompute_most(int64_t micro_batch) {
    const auto floor = [](const Trial& trial) { return trial.forward.plan.lower_bound_bytes; };
    TrialPtr start = plan_pieces(micro_batch, finest_[micro_batch]);
    if (const TrialPtr front = plan_pieces(micro_batch, forward_cut(micro_batch));
        floor(*front) < floor(*start)) {
      start = front;
    }
    // Half as much more is what a step forward and backward needs at least, in practice.
    const size_t least = floor(*start) + floor(*start) / 2;
    if (best_.has_value() || size_of(*smallest_) <= size(least, least + start->persistent)) return;
    recompute(*start, floor(*start));
  }

  std::vector<Tiling> forward_cut(int64_t micro_batch) {
    const TrialPtr plain = plan({.micro_batch = micro_batch});
    Pieces pieces(source_.network(micro_batch));
    const size_t third = plain->forward.plan.arena_bytes / 3;
    return cut_to(third, pieces, plain, /*forward_only=*/true)->levers.tilings;
  }

  // The same only as far as the budget asks, from where that promises to be fastest.
  void recompute_enough(std::span<const int64_t> micro_batches, size_t tries) {
    std::vector<std::pair<double, Levers>> starts;
    const auto add = [&](const Trial& start) {
      const std::optional<double> seconds = estimate(start);
      if (seconds.has_value() && *seconds < best_->seconds) {
        starts.emplace_back(*seconds, start.levers);
      }
    };
    for (const int64_t m : micro_batches) {
      if (plain_seconds_.at(m) >= best_->seconds) continue;
      const TrialPtr plain = plan({.micro_batch = m});
      add(*plain);
      if (plain->forward.plan.arena_bytes > arena_budget(*plain) / 2) {
        add(*plan_pieces(m, forward_cut(m)));
      }
    }
    std::ranges::stable_sort(starts, {}, &std::pair<double, Levers>::first);
    starts.resize(std::min(starts.size(), tries));
    for (const auto& [seconds, levers] : starts) {
      const TrialPtr start = plan_pieces(levers.micro_batch, levers.tilings);
      if (!is_done(*start)) recompute(*start, arena_budget(*start));
    }
  }

  // Seconds of the plan once it fits, if what each value frees added up; none where dropping all of
  // them would not do.
  std::optional<double> estimate(const Trial& start) const {
    const size_t budget = arena_budget(start);
    if (start.forward.plan.lower_bound_bytes > budget) return std::nullopt;
    std::vector<RecomputeCandidate> candidates =
        recompute_candidates(start.graphs.training.graph, threads_);
    std::ranges::stable_sort(candidates, {}, [](const RecomputeCandidate& c) {
      return c.seconds / static_cast<double>(c.bytes);
    });
    size_t arena = start.greedy_arena();
    double seconds = 0;
    for (const RecomputeCandidate& c : candidates) {
      if (arena <= budget) break;
      arena -= std::min(arena, c.bytes);
      seconds += c.seconds;
    }
    if (arena > budget) return std::nullopt;
    return start.seconds + seconds * static_cast<double>(batch_size_ / start.levers.micro_batch);
  }

  void recompute(const Trial& start, size_t arena_budget) {
    const ScheduleOptions options = schedule_options(start.graphs.training);
    const auto arena_of = [&](const Graph& graph) {
      return compile(graph, *tt_best_kernels(), options).plan.arena_bytes;
    };
    const RecomputeChoice choice = choose_recompute(start.graphs.training.graph, arena_budget,
                                                    arena_of, *tt_best_kernels(), options);
    with_recomputation(start, choice.dropped);
  }

  // Takes back every cut, or half of it, that the budget does not need.
  void trim() {
    const Levers levers = best_->levers;
    if (levers.tilings.empty() || levers.recomputed != slices_of(levers)) return;
    plan({.micro_batch = levers.micro_batch, .tilings = levers.tilings});
    for (size_t i = levers.tilings.size(); i-- > 0;) {
      std::vector<Tiling> fewer = best_->levers.tilings;
      fewer.erase(fewer.begin() + static_cast<ptrdiff_t>(i));
      if (takes_less(fewer)) continue;
      std::vector<Tiling> coarser = best_->levers.tilings;
      coarser[i].pieces = (coarser[i].pieces + 1) / 2;
      if (coarser[i].pieces > 1) takes_less(coarser);
    }
  }

  // Whether that is the best plan now.
  bool takes_less(const std::vector<Tiling>& tilings) {
    const double before = best_->seconds;
    plan_pieces(best_->levers.micro_batch, tilings);
    return best_->seconds < before;
  }

  std::vector<ValueId> slices_of(const Levers& levers) {
    if (levers.tilings.empty()) return {};
    return parameter_slices(source_.build(levers.micro_batch, levers.tilings).training.graph);
  }

  // What each lever of the choice did, one after the other.
  void explain(BudgetChoice& choice, int64_t whole_batch) {
    const Levers& levers = choice.levers;
    const auto add = [&](std::string what, const Levers& some) {
      const TrialPtr trial = plan(some);
      const size_t arena = best_arena(*trial);
      choice.steps.push_back({std::move(what), arena, arena + trial->persistent, trial->seconds});
    };
    add("no lever", {.micro_batch = whole_batch});
    Levers so_far{.micro_batch = levers.micro_batch};
    if (levers.micro_batch != whole_batch) {
      add("micro-batches of " + std::to_string(levers.micro_batch), so_far);
    }
    if (!levers.tilings.empty()) {
      so_far.tilings = levers.tilings;
      so_far.recomputed = slices_of(levers);
      if (levers.recomputed.empty()) so_far.recomputed.clear();
      add(count_of(levers.tilings.size(), "region") + " in pieces", so_far);
    }
    if (levers.recomputed == so_far.recomputed) return;
    add(count_of(levers.recomputed.size(), "value") + " recomputed", levers);
  }

  StepSource& source_;
  const Budget budget_;
  const int64_t batch_size_;
  const int threads_;
  std::optional<Result> best_, smallest_;
  std::map<int64_t, std::vector<Tiling>> finest_;  // by micro-batch, as the next
  std::map<int64_t, double> plain_seconds_;
};

}  // namespace

void apply_recomputation(TrainingGraph& training, std::span<const ValueId> values) {
  if (values.empty()) return;
  std::vector<ValueId> ids;
  Graph graph = recompute(training.graph, values, &ids);
  replace_graph(training, std::move(graph), ids);
}

BudgetChoice fit_budget(StepSource& source, const Budget& budget, int64_t batch_size,
                        std::span<const int64_t> micro_batches, int threads) {
  TT_ASSERT(!micro_batches.empty());
  return Search(source, budget, batch_size, threads).run(micro_batches);
}

}  // namespace tinytl

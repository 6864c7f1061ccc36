#include "tinytl/cli/setup.h"

#include "engine/schedule/cost.h"
#include "tinytl/cli/console.h"
#include "tinytl/cli/network_source.h"

namespace tinytl::cli {
namespace {

bool has_budget(const MethodArguments& args) {
  return !args.memory_budget.empty() || !args.arena_budget.empty();
}

[[noreturn]] void throw_over_budget(const MethodArguments& args, const PlannedStep& smallest) {
  const bool is_arena = args.memory_budget.empty();
  const std::string flag =
      is_arena ? "--arena-budget " + args.arena_budget : "--memory-budget " + args.memory_budget;
  const size_t bytes = is_arena ? smallest.arena_bytes : smallest.training_memory_bytes;
  throw BudgetError(flag + ": the smallest that this run can be planned in is " +
                    std::to_string(bytes) + " bytes (" + bytes_text(bytes) +
                    "); allow that, or take a smaller --update or network");
}

// The micro-batch of the smallest training memory among those that cost little time.
int64_t choose_micro_batch(NetworkSource& source, int64_t batch_size) {
  constexpr double kTolerance = 1.1;
  std::vector<std::pair<int64_t, PlannedStep>> plans;
  for (const int64_t size : source.micro_batches()) {
    plans.emplace_back(size, fit_budget(source, {}, batch_size, {{size}}).steps.back());
  }
  const auto faster = [](const auto& a, const auto& b) {
    return a.second.seconds < b.second.seconds;
  };
  const double fastest = std::ranges::min_element(plans, faster)->second.seconds;
  std::erase_if(plans, [&](const auto& p) { return p.second.seconds > kTolerance * fastest; });
  const auto smaller = [](const auto& a, const auto& b) {
    return a.second.training_memory_bytes < b.second.training_memory_bytes;
  };
  return std::ranges::min_element(plans, smaller)->first;
}

Levers choose_levers(const MethodArguments& args, NetworkSource& source, Setup& setup) {
  const std::optional<int64_t> given = micro_batch_of(args);
  const bool is_chosen = args.micro_batch.empty() && has_budget(args);
  if (given.has_value() && *given != args.batch_size) source.check_samples_apart();
  if (!has_budget(args)) {
    return {.micro_batch =
                given.has_value() ? *given : choose_micro_batch(source, args.batch_size)};
  }
  const std::vector<int64_t> sizes =
      is_chosen || !given.has_value() ? source.micro_batches() : std::vector<int64_t>{*given};
  BudgetChoice choice = fit_budget(source, budget_of(args), args.batch_size, sizes);
  if (!choice.fits) throw_over_budget(args, choice.steps.back());
  setup.levers = std::move(choice.steps);
  return choice.levers;
}

}  // namespace

Setup prepare(const MethodArguments& args, int64_t classes) {
  Setup setup;
  const Budget budget = budget_of(args);
  setup.machine_scale = machine_scale();
  NetworkSource source(args, classes);
  const Levers levers = choose_levers(args, source, setup);
  StepGraphs graphs = source.build(levers.micro_batch, levers.tilings);
  apply_recomputation(graphs.training, levers.recomputed);

  const int64_t passes = args.batch_size / levers.micro_batch;
  setup.classifier = source.fitted().description;
  setup.new_classifier = source.fitted().is_new;
  setup.fingerprint = source.fingerprint();
  setup.imported = source.description();
  setup.predicted_seconds = setup.machine_scale * batch_seconds(graphs.training.graph, passes);
  setup.regions_in_pieces = levers.tilings.size();
  setup.values_recomputed = levers.recomputed.size();
  setup.session = std::make_unique<Session>(std::move(graphs.training), std::move(graphs.inference),
                                            loss_of(args), SessionOptions{.micro_batches = passes});
  TT_ASSERT(setup.session->memory().arena <= budget.arena);
  TT_ASSERT(setup.session->memory().training_memory() <= budget.training_memory);
  return setup;
}

}  // namespace tinytl::cli

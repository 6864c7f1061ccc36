#include "tinytl/cli/setup.h"

#include "engine/schedule/cost.h"
#include "tinytl/cli/choose_levers.h"
#include "tinytl/cli/network_source.h"

namespace tinytl::cli {

Setup prepare(const MethodArguments& args, int64_t classes) {
  const Budget budget = budget_of(args);
  Decision decision = decide(args, classes);
  NetworkSource source(args, classes, decision.known);
  const Levers levers = levers_of(decision, source.network(decision.micro_batch));
  const int64_t passes = args.batch_size / levers.micro_batch;
  StepGraphs graphs = source.build(levers.micro_batch, levers.tilings);
  apply_recomputation(graphs.training, levers.recomputed);

  Setup setup;
  setup.classifier = source.fitted().description;
  setup.new_classifier = source.fitted().is_new;
  setup.fingerprint = std::move(decision.fingerprint);
  setup.imported = source.description();
  setup.lite_modules = source.lite_modules();
  setup.levers = std::move(decision.steps);
  setup.machine_scale = machine_scale();
  setup.predicted_seconds =
      setup.machine_scale * step_seconds(graphs.training.graph, passes, args.threads);
  setup.regions_in_pieces = levers.tilings.size();
  setup.values_recomputed = levers.recomputed.size();
  SessionOptions options{.micro_batches = passes, .threads = args.threads};
  if (args.xnnpack == "auto") options.xnnpack_within = budget.training_memory;
  setup.session = std::make_unique<Session>(std::move(graphs.training), std::move(graphs.inference),
                                            loss_of(args), options);
  constexpr size_t kCurvePoints = 200;
  setup.alive = alive_curve(setup.session->step_program(), kCurvePoints);
  TT_ASSERT(setup.session->memory().arena <= budget.arena);
  TT_ASSERT(setup.session->memory().training_memory() <= budget.training_memory);
  return setup;
}

}  // namespace tinytl::cli

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "engine/graph/replace_file.h"
#include "sparse_update/mcunetv3_bill.h"
#include "sparse_update/resolve.h"
#include "sparse_update/search.h"
#include "tinytl/cli/console.h"
#include "tinytl/cli/load_network.h"
#include "tinytl/cli/sparsify.h"
#include "tinytl/cli/sparsify_picture.h"
#include "tinytl/cli/study_grid.h"

namespace tinytl::cli {
namespace {

namespace fs = std::filesystem;

// Bytes of optimizer state, and of a sum over micro-batches, for a number that trains.
double state_bytes(const OptimizerOptions& options, int64_t passes) {
  using Kind = OptimizerOptions::Kind;
  const bool has_8_bits = options.kind == Kind::kAdam8bit || options.kind == Kind::kAdamW8bit;
  const double state = options.kind == Kind::kSgd ? (options.momentum != 0 ? 4.0 : 0.0)
                       : has_8_bits               ? 2.0
                                                  : 8.0;
  return state + (passes * options.accumulation_steps > 1 ? 4.0 : 0.0);
}

// What a choice takes, planned or by the authors' bill.
class Planner {
 public:
  Planner(const SparsifyArguments& args, SparsifyNetwork& network)
      : args_(args), network_(network), budget_(budget_of(args.method)) {
    const StepGraphs graphs = network_.source().build(network_.micro_batch(), {});
    inference_arena_ = inference_program(graphs.inference, graphs.loss, *tt_best_kernels(),
                                         {.threads = args.method.threads, .placement_effort = 0})
                           .plan.arena_bytes;
  }

  UpdateScheme scheme_of(const Choice& choice) {
    SchemeFile file = tinytl::scheme_of(choice);
    file.source = "scheme";
    return resolve(file, network_.graph(), network_.classifier());
  }

  int64_t bill(const Choice& choice) {
    return mcunetv3_bill(network_.graph(), scheme_of(choice), network_.classifier()).bytes();
  }

  PlannedStep plan(const Choice& choice) {
    network_.source().train(scheme_of(choice));
    StepGraphs graphs = network_.source().build(network_.micro_batch(), {});
    const Program step = compile(std::move(graphs.training.graph), *tt_best_kernels(),
                                 {.updates_last = graphs.training.accumulation_steps > 1,
                                  .threads = args_.method.threads,
                                  .placement_effort = 0});
    const PersistentBytes persistent = persistent_bytes(step.graph);
    PlannedStep result;
    result.arena_bytes = std::max(step.plan.arena_bytes, inference_arena_);
    result.training_memory_bytes = result.arena_bytes + persistent.parameters + persistent.state;
    return result;
  }

  bool fits(const Choice& choice) {
    if (is_bill()) return static_cast<size_t>(bill(choice)) <= budget_.training_memory;
    const PlannedStep planned = plan(choice);
    return planned.arena_bytes <= budget_.arena &&
           planned.training_memory_bytes <= budget_.training_memory;
  }

  bool is_bill() const { return !args_.accounting.empty(); }
  const Budget& budget() const { return budget_; }

  // In bits: of the bill exactly, of the plan nearly.
  Costs costs() {
    if (is_bill()) return part_costs(network_.graph(), network_.classifier());
    const int64_t passes = args_.method.batch_size / network_.micro_batch();
    const double state = state_bytes(optimizer_of(args_.method), passes);
    const auto images = double(network_.micro_batch());
    return part_costs(network_.graph(), network_.classifier(),
                      {.mask = images, .bias = state / 4, .input = 4 * images, .weight = state});
  }

 private:
  const SparsifyArguments& args_;
  SparsifyNetwork& network_;
  const Budget budget_;
  size_t inference_arena_ = 0;
};

Contributions gains_of(const SparsifyArguments& args, int64_t convolutions, std::string& measure) {
  if (!args.out.empty()) {
    const PartTable table(fs::path(args.out) / "contributions.csv");
    // Accuracy moves in steps of one held-out sample, which drown what most parts bring.
    for (const char* known : {"likelihood", "accuracy", "fisher", "gradient"}) {
      const auto parts = measured_parts(table.rows(), known, convolutions);
      if (!parts.has_value()) continue;
      measure = fmt::format("{}, {} of {} parts measured", known, parts->known, parts->all);
      return parts->gains;
    }
  }
  if (args.data.data.empty()) {
    throw InputError(
        "nothing says what parts bring: give --data DIR for an estimate, or --contributions OUT of "
        "tinytl-sparsify analyse");
  }
  measure = args.estimate + " of " + std::to_string(args.samples) + " samples";
  return estimate_contributions(
      args, args.estimate == "fisher" ? Estimate::kFisher : Estimate::kGradient);
}

[[noreturn]] void throw_over_budget(Planner& planner, size_t convolutions) {
  const Choice nothing{0, std::vector<int>(convolutions, -1)};
  const size_t least = planner.is_bill() ? static_cast<size_t>(planner.bill(nothing))
                                         : planner.plan(nothing).training_memory_bytes;
  throw BudgetError(fmt::format("the classifier alone takes {} bytes ({}); allow that, or more",
                                least, bytes_text(least)));
}

void print_choice(const SparsifyNetwork& network, const Choice& choice, const Contributions& gains,
                  const Costs& costs) {
  const double all = sum_of(gains, choice);
  const auto share = [&](double gain) {
    return all > 0 ? percent_text(gain / all) : std::string("-");
  };
  const auto bytes = [](int64_t bits) { return bytes_text(static_cast<size_t>(bits / 8)); };
  std::vector<std::vector<std::string>> rows{{"trains", "number", "channels", "costs", "brings"}};
  const auto k = static_cast<size_t>(choice.biases);
  rows.push_back({fmt::format("biases of the last {}", choice.biases), "-", "-",
                  bytes(costs.biases[k]), share(gains.biases[k])});
  for (size_t i = 0; i < choice.ratio.size(); ++i) {
    if (choice.ratio[i] < 0) continue;
    const auto r = static_cast<size_t>(choice.ratio[i]);
    rows.push_back({network.names()[i], std::to_string(i), fmt::format("{:g}", kRatios[r]),
                    bytes(costs.weights[i][r]), share(gains.weights[i][r])});
  }
  print_table(rows);
}

}  // namespace

int search(const SparsifyArguments& args) {
  if (args.method.memory_budget.empty() &&
      (args.method.arena_budget.empty() || !args.accounting.empty())) {
    throw CLI::RequiredError("--memory-budget");
  }
  int64_t classes = args.classes;
  if (classes == 0 && !args.data.data.empty()) {
    classes = static_cast<int64_t>(
        open_dataset(args.data.data, dataset_of(args.data)).train->classes().size());
  }
  if (classes == 0) throw CLI::RequiredError("--data or --classes");
  const int64_t micro_batch = micro_batch_of(args.method).value_or(1);
  SparsifyNetwork network(args, classes, micro_batch);
  std::string measure;
  const auto count = static_cast<int64_t>(network.layers().size());
  const Contributions gains = gains_of(args, count, measure);
  Planner planner(args, network);
  const Costs costs = planner.costs();

  FoundScheme found;
  if (planner.is_bill()) {
    const int64_t fixed = planner.bill({0, std::vector<int>(static_cast<size_t>(count), -1)});
    const int64_t left = static_cast<int64_t>(planner.budget().training_memory) - fixed;
    if (left < 0) throw_over_budget(planner, static_cast<size_t>(count));
    found.choice = best_choice(gains, costs, 8 * left);
    found.fits = planner.fits(found.choice);
    TT_ASSERT(found.fits);
  } else {
    found = search_scheme(gains, costs, [&](const Choice& choice) { return planner.fits(choice); });
    if (!found.fits) throw_over_budget(planner, static_cast<size_t>(count));
  }

  const PlannedStep planned = planner.plan(found.choice);
  SchemeFile file = scheme_of(found.choice);
  const std::string budget =
      args.method.memory_budget.empty() ? args.method.arena_budget : args.method.memory_budget;
  file.name = fmt::format("{} within {}", network_name(args.method), budget);
  file.comment =
      fmt::format("by {}; {} bytes planned at batch {}, {} by the authors' bill", measure,
                  planned.training_memory_bytes, micro_batch, planner.bill(found.choice));
  write_scheme(args.scheme, file);
  PartPicture picture{.title = "What trains of " + network_name(args.method) + " within " + budget,
                      .subtitle = file.comment,
                      .names = network.names(),
                      .in_points = measure.starts_with("accuracy"),
                      .gains = gains,
                      .choice = found.choice,
                      .costs = costs};
  for (int64_t& bits : picture.costs.biases) bits /= 8;
  for (auto& ratios : picture.costs.weights) {
    for (int64_t& bits : ratios) bits /= 8;
  }
  const std::string svg = fs::path(args.scheme).replace_extension(".svg").string();
  replace_file(svg, part_svg(picture));

  fmt::print("tinytl-sparsify: {} within {}\n\n", network_name(args.method), budget);
  print_line("contributions", measure);
  print_line("planned", fmt::format("{} of training memory, {} of it arena, {} images at a time",
                                    bytes_text(planned.training_memory_bytes),
                                    bytes_text(planned.arena_bytes), micro_batch));
  print_line("authors' bill", fmt::format("{:.1f} KiB", double(planner.bill(found.choice)) / 1024));
  print_line("method", planner.is_bill()
                           ? "exact: a knapsack over the bill for every number of biases"
                           : fmt::format("knapsacks, and {} plans", found.planned));
  fmt::print("\n");
  print_choice(network, found.choice, gains, costs);
  fmt::print("\n");
  print_line("scheme", args.scheme);
  print_line("picture", svg);
  fmt::print("\n  {}\n",
             shell_line({"tinytl-train", "--model", args.method.model, "--data",
                         args.data.data.empty() ? "DIR" : args.data.data, "--update", "sparse",
                         "--scheme", args.scheme, "--batch-size",
                         std::to_string(args.method.batch_size), "--micro-batch",
                         std::to_string(micro_batch), "--optimizer", args.method.optimizer}));
  return kDone;
}

}  // namespace tinytl::cli

#include <map>

#include "tinytl/cli/arguments.h"
#include "tinytl/cli/option_checks.h"
#include "tinytl/methods/paper_accounting.h"
#include "tinytl/networks/reference_network.h"

namespace tinytl::cli {
namespace {

void check_batch_norms(const MethodArguments& args, Update update) {
  if (!args.network.empty()) {
    usage_error("--norm batch needs the statistics of a --model; --network has none");
  }
  if (update == Update::kFull || update == Update::kNorm) return;
  usage_error(
      "--norm batch needs --update full or norm; the norms of a frozen network are constant: "
      "use --norm folded");
}

// "12MB", "1.5 MiB", "200000".
size_t bytes_of(const std::string& text, const char* flag) {
  static const std::map<std::string, double> kUnits = {
      {"", 1},    {"B", 1},    {"K", 1e3},    {"KB", 1e3},      {"M", 1e6},         {"MB", 1e6},
      {"G", 1e9}, {"GB", 1e9}, {"KIB", 1024}, {"MIB", 1048576}, {"GIB", 1073741824}};
  const size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
  std::string unit;
  for (const char c : text.substr(end)) {
    if (c != ' ') unit += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  double number = 0;
  const bool is_number = end > 0 && CLI::detail::lexical_cast(text.substr(0, end), number);
  const auto factor = kUnits.find(unit);
  if (!is_number || factor == kUnits.end() || !(number * factor->second >= 1) ||
      number * factor->second > 1e15) {
    usage_error(std::string(flag) + " takes bytes as 12MB, 512KB, 8MiB or 200000, not \"" + text +
                "\"");
  }
  return static_cast<size_t>(number * factor->second);
}

}  // namespace

Update update_of(const MethodArguments& args) {
  if (args.update == "full" && args.freeze_weights) {
    usage_error("--freeze-weights and --update full contradict each other; leave one out");
  }
  const Update update = parse_update(args.update.empty() ? "bias" : args.update).value();
  if ((update == Update::kSparse) != !args.scheme.empty()) {
    usage_error(args.scheme.empty()
                    ? "--update sparse needs --scheme FILE (tinytl-sparsify writes one), or last:K"
                    : "--scheme says what --update sparse trains; give that too");
  }
  if (args.norm == "batch") check_batch_norms(args, update);
  return update;
}

Norms norms_of(const MethodArguments& args) { return parse_norms(args.norm).value(); }

Precision precision_of(std::string_view name) {
  return name == "int8" ? Precision::kInt8 : Precision::kFloat;
}

LiteOptions lite_of(const MethodArguments& args) {
  if (args.lite.kernel % 2 == 0) usage_error("--lite-kernel must be odd");
  LiteOptions lite = args.lite;
  lite.seed = args.seed;
  if (!args.network.empty()) {
    lite.nominal_resolution =
        paper_nominal_resolution(args.resolution > 0 ? args.resolution : kImageNetResolution);
  }
  return lite;
}

FrozenWeights frozen_weights_of(const MethodArguments& args) {
  return parse_frozen_weights(args.frozen_weights).value();
}

Loss loss_of(const MethodArguments& args) {
  if (args.loss == "mse") return {.kind = Loss::Kind::kMeanSquaredError};
  return {.kind = Loss::Kind::kSoftmaxCrossEntropy, .label_smoothing = args.label_smoothing};
}

OptimizerOptions optimizer_of(const MethodArguments& args) {
  using Kind = OptimizerOptions::Kind;
  OptimizerOptions options;
  options.kind = args.optimizer == "sgd"         ? Kind::kSgd
                 : args.optimizer == "adamw"     ? Kind::kAdamW
                 : args.optimizer == "adam8bit"  ? Kind::kAdam8bit
                 : args.optimizer == "adamw8bit" ? Kind::kAdamW8bit
                                                 : Kind::kAdam;
  if (args.nesterov && (options.kind != Kind::kSgd || args.momentum == 0)) {
    usage_error("--nesterov needs --optimizer sgd with --momentum above 0");
  }
  options.momentum = args.momentum;
  options.nesterov = args.nesterov;
  options.weight_decay = args.weight_decay;
  options.clip_norm = args.clip_norm;
  options.qas = args.qas == "on";
  options.stochastic_rounding = args.rounding == "stochastic";
  options.accumulation_steps = args.accumulate;
  return options;
}

Budget budget_of(const MethodArguments& args) {
  Budget budget;
  if (!args.memory_budget.empty()) {
    budget.training_memory = bytes_of(args.memory_budget, "--memory-budget");
  }
  if (!args.arena_budget.empty()) budget.arena = bytes_of(args.arena_budget, "--arena-budget");
  return budget;
}

std::optional<int64_t> micro_batch_of(const MethodArguments& args) {
  if (args.micro_batch == "auto") return std::nullopt;
  constexpr size_t kMostDigits = 4;
  const bool digits = args.micro_batch.find_first_not_of("0123456789") == std::string::npos &&
                      args.micro_batch.size() <= kMostDigits;
  const int64_t size = digits ? std::stoll(args.micro_batch) : 0;
  if (size < 1) {
    usage_error("--micro-batch takes a number from 1 to --batch-size, or auto, not \"" +
                args.micro_batch + "\"");
  }
  if (args.batch_size % size != 0) {
    usage_error("--micro-batch " + args.micro_batch + " does not divide --batch-size " +
                std::to_string(args.batch_size));
  }
  return size;
}

}  // namespace tinytl::cli

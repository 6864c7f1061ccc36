#include "tinytl/cli/arguments.h"

#include <fmt/core.h>

#include <cmath>
#include <map>

#include "tinytl/methods/paper_accounting.h"
#include "tinytl/networks/reference_network.h"

namespace tinytl::cli {
namespace {

[[noreturn]] void usage_error(const std::string& message) { throw CLI::ValidationError(message); }

constexpr double kLargest = 1e38;

// CLI::Range lets "nan" through.
CLI::Validator between(double low, double high) {
  const std::string range = fmt::format("{:g} to {:g}", low, high);
  return CLI::Validator(
      [=](std::string& text) {
        double value = 0;
        const bool fits = CLI::detail::lexical_cast(text, value) && low <= value && value <= high;
        return fits ? std::string() : text + " is not a number from " + range;
      },
      "FLOAT, " + range);
}

CLI::Validator whole_number() {
  return CLI::Validator(
      [](std::string& text) {
        constexpr size_t kMostDigits = 18;
        const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
        return digits && !text.empty() && text.size() <= kMostDigits
                   ? std::string()
                   : text + " is not a whole number of at most 18 digits";
      },
      "UINT");
}

// Rates that work untuned, by optimizer and method; Adam's were chosen on parts of two training
// sets (flowers17, cars66). A new classifier needs a rate 10 to 100 times that of pretrained
// parameters.
struct DefaultRates {
  double new_head, bias, lite, full;
};
constexpr DefaultRates kAdamRates{3e-3, 1e-3, 3e-3, 3e-4};
const std::map<std::string, DefaultRates> kDefaultRates = {{"adam", kAdamRates},
                                                           {"adamw", kAdamRates},
                                                           {"adam8bit", kAdamRates},
                                                           {"adamw8bit", kAdamRates},
                                                           {"sgd", {5e-2, 5e-3, 5e-3, 1e-3}}};

std::array<float, 3> three(const std::vector<float>& values, const char* flag) {
  if (values.size() == 1) return {values[0], values[0], values[0]};
  if (values.size() == 3) return {values[0], values[1], values[2]};
  usage_error(std::string(flag) + " takes one number, or three (red, green, blue)");
}

// The options that shape the result and that nothing else in a checkpoint shows.
std::string recipe_of(const LoopArguments& loop, const MethodArguments& method,
                      const ImageArguments& image, double hold_out) {
  return fmt::format(
      "--optimizer {} --keep {} --loss {} --label-smoothing {} --dropout {} --clip-norm {} "
      "--weight-decay {} --momentum {} "
      "--nesterov {} --accumulate {} --schedule {} --warmup-epochs {} --crop-area {} --flip {} "
      "--jitter {} --no-augment {} --hold-out {} --memory-budget {} --arena-budget {} --xnnpack {} "
      "--frozen-weights {} --save-activations {} --width {}",
      method.optimizer, loop.keep, method.loss, method.label_smoothing, method.dropout,
      method.clip_norm, method.weight_decay, method.momentum, method.nesterov, method.accumulate,
      loop.schedule, loop.warmup_epochs, image.crop_area_min, image.flip, image.jitter,
      image.no_augment, hold_out, method.memory_budget, method.arena_budget, method.xnnpack,
      method.frozen_weights, method.save_activations, method.width);
}

void add_network_options(CLI::App& app, MethodArguments& args) {
  CLI::Option* model = app.add_option("--model", args.model, "Pretrained network, an .onnx file");
  app.add_option("--network", args.network,
                 "In its place a network with random weights: " + reference_networks_text())
      ->excludes(model);
  app.parse_complete_callback([&args] {
    if (args.model.empty() && args.network.empty()) {
      usage_error("--model is required (or --network, to measure without a model file)");
    }
  });
}

// The defaults are the paper's.
void add_lite_options(CLI::App& app, LiteOptions& lite) {
  app.add_option("--lite-kernel", lite.kernel,
                 "Side of the lite modules' convolution, odd; smaller where the map is")
      ->check(CLI::Range(1, 15))
      ->capture_default_str();
  app.add_option("--lite-groups", lite.groups, "Groups of that convolution")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--lite-expand", lite.expand, "Its channels, of those of the block's input")
      ->check(between(0.01, 100))
      ->capture_default_str();
  app.add_option("--lite-pool", lite.pool, "Side of the average pool in front of it; 1: none")
      ->check(CLI::Range(1, 16))
      ->capture_default_str();
}

void check_batch_norms(const MethodArguments& args, Update update) {
  if (!args.network.empty()) {
    usage_error("--norm batch needs the statistics of a --model; --network has none");
  }
  if (update == Update::kFull || update == Update::kNorm) return;
  usage_error(
      "--norm batch needs --update full or norm; the norms of a frozen network are constant: "
      "use --norm folded");
}

}  // namespace

void add_method_options(CLI::App& app, MethodArguments& args) {
  add_network_options(app, args);
  app.add_option("--update", args.update,
                 "What trains: last (the classifier), bias (default), lite (small modules beside "
                 "the blocks), lite+bias, norm (scales and shifts) or full")
      ->check(CLI::IsMember(update_names()));
  app.add_flag("--freeze-weights", args.freeze_weights,
               "No weight of the imported network changes (default unless --update full)");
  app.add_option("--frozen-weights", args.frozen_weights,
                 "How weights that do not train are stored: float, int8 (a scale a channel) or "
                 "kmeans (256 numbers a tensor); 8 bits are a quarter of the memory, and change "
                 "the network a little")
      ->check(CLI::IsMember({"float", "int8", "kmeans"}))
      ->capture_default_str();
  app.add_option("--save-activations", args.save_activations,
                 "How values of the forward pass are kept for the backward pass: float, or int8 or "
                 "int4 with a range a channel; gradients then are near, not exact")
      ->check(CLI::IsMember({"float", "int8", "int4"}))
      ->capture_default_str();
  app.add_option("--head", args.head, "ONNX node name of the classifier, where it is not found");
  app.add_flag("--new-head", args.new_head, "A new classifier even where the old one fits");
  add_lite_options(app, args.lite);
  app.add_option("--resolution", args.resolution,
                 "Height and width of the network's input, in place of its own")
      ->check(CLI::Range(8, 4096));
  app.add_option("--width", args.width,
                 "Part of the expanded channels that each inverted residual block keeps, those of "
                 "most weight: less memory and time, and a network that is changed")
      ->check(between(0.01, 1.0))
      ->capture_default_str();
  app.add_option("--norm", args.norm,
                 "What the network's batch norms become: folded (part of the layers, saves "
                 "nothing), group (true group norms, which keep their inputs) or batch (kept, with "
                 "the statistics of each batch: for --update full and norm)")
      ->check(CLI::IsMember({"folded", "group", "batch"}))
      ->capture_default_str();
  app.add_option("--loss", args.loss, "cross-entropy, or mse (the network reproduces its input)")
      ->check(CLI::IsMember({"cross-entropy", "mse"}))
      ->capture_default_str();
  app.add_option("--label-smoothing", args.label_smoothing, "Of cross-entropy")
      ->check(between(0.0, 0.99))
      ->capture_default_str();
  app.add_option("--optimizer", args.optimizer,
                 "adam, adamw, sgd; or adam8bit, adamw8bit: with a quarter of the state")
      ->check(CLI::IsMember({"adam", "adamw", "sgd", "adam8bit", "adamw8bit"}))
      ->capture_default_str();
  app.add_option("--momentum", args.momentum, "Of sgd; 0 needs no memory")
      ->check(between(0.0, 0.9999))
      ->capture_default_str();
  app.add_flag("--nesterov", args.nesterov, "Of sgd");
  app.add_option("--weight-decay", args.weight_decay,
                 "Added to gradients; decoupled in adamw and adamw8bit")
      ->check(between(0, kLargest));
  app.add_option("--clip-norm", args.clip_norm, "Largest global norm of the gradients; 0: off")
      ->check(between(0, kLargest));
  app.add_option("--accumulate", args.accumulate, "Batches that make one update")
      ->check(CLI::Range(1, 4096));
  app.add_option("--dropout", args.dropout, "Rate before the classifier")
      ->check(between(0.0, 0.99));
  app.add_option("--batch-size", args.batch_size, "Images a step")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  const auto given = [](const std::string& text) {
    return text.empty() ? "takes bytes as 12MB, 512KB, 8MiB or 200000" : std::string();
  };
  app.add_option("--memory-budget", args.memory_budget,
                 "Most training memory, as 12MB, 512KB, 8MiB: trades time for memory to stay below")
      ->check(given);
  app.add_option("--arena-budget", args.arena_budget, "The same for the arena alone")->check(given);
  app.add_option("--micro-batch", args.micro_batch,
                 "Images at once, a divisor of --batch-size: a step runs in parts, in the memory "
                 "of one. auto: the least memory that costs no time")
      ->capture_default_str();
  add_threads_option(app, args.threads);
  add_xnnpack_option(app, args.xnnpack);
  app.add_option("--seed", args.seed, "Of everything random")
      ->check(whole_number())  // CLI11 would read "-1" and numbers too large as 2^64 - 1
      ->capture_default_str();
}

void add_threads_option(CLI::App& app, int& threads) {
  const CLI::Validator number_of_processors(
      [](std::string& text) {
        const int most = std::min(usable_processors(), ThreadPool::kMost);
        if (text == "auto") text = std::to_string(most);
        return std::string();
      },
      "");
  app.add_option("--threads", threads,
                 "Threads that compute, or auto: one for each processor. The result is the same "
                 "for any number, unless a memory budget leads to another plan; each needs "
                 "scratch memory of its own")
      ->transform(number_of_processors)
      ->check(CLI::Range(1, ThreadPool::kMost))
      ->type_name("UINT")
      ->capture_default_str();
}

void add_xnnpack_option(CLI::App& app, std::string& xnnpack) {
  app.add_option("--xnnpack", xnnpack,
                 "auto: XNNPACK runs the layers with frozen weights that it is measured to be "
                 "faster at, within the memory budget; it copies their weights, and two runs may "
                 "differ in rounding")
      ->check(CLI::IsMember({"auto", "off"}))
      ->capture_default_str();
}

void add_data_options(CLI::App& app, DataArguments& args) {
  app.add_option("--data", args.data,
                 "Folder: train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg, or IDX files");
  app.add_option("--only", args.only, "Only these classes, by name, comma-separated")
      ->delimiter(',');
  app.add_option("--max-per-class", args.max_per_class, "At most so many training images a class")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--hold-out", args.hold_out,
                 "Validate on this fraction of the training set, not on val: to compare settings "
                 "without looking at val")
      ->check(between(0.01, 0.9));
  app.add_flag("--strict", args.strict, "Stop at a damaged image instead of leaving it out");
}

void add_view_options(CLI::App& app, ImageArguments& args) {
  app.add_option("--mean", args.mean, "Subtracted from pixels: one number or three (127.5)")
      ->delimiter(',');
  app.add_option("--std", args.deviation, "Divides pixels: one number or three (127.5)")
      ->delimiter(',');
  app.add_flag("--squash", args.squash, "Squash images to the network's shape instead of cropping");
  app.add_option("--center-fraction", args.center_fraction, "Part of the image evaluation looks at")
      ->check(between(0.1, 1.0))
      ->capture_default_str();
}

void add_augmentation_options(CLI::App& app, ImageArguments& args) {
  app.add_option("--crop-area", args.crop_area_min,
                 "Smallest part of an image training looks at (0.35; 0.8 where images come in the "
                 "network's own size)")
      ->check(between(0.01, 1.0));
  app.add_option("--flip", args.flip, "Probability of a mirrored training image")
      ->check(between(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--jitter", args.jitter, "Random brightness, contrast, saturation: up to +-this")
      ->check(between(0.0, 1.0));
  app.add_flag("--no-augment", args.no_augment, "Train on images as evaluation sees them");
}

void add_loop_options(CLI::App& app, LoopArguments& args) {
  app.add_option("--epochs", args.epochs, "Passes over the training set")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--max-steps", args.max_steps, "Stop after so many steps")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--lr", args.rate,
                 "Learning rate of pretrained parameters, or auto: chosen on a part of the "
                 "training set");
  app.add_option("--head-lr", args.head_rate, "Learning rate of the classifier")
      ->check(between(1e-30, kLargest));
  app.add_option("--lite-lr", args.lite_rate, "Learning rate of lite residual modules")
      ->check(between(1e-30, kLargest));
  app.add_option("--schedule", args.schedule, "cosine, step (x 0.1 at each third) or constant")
      ->check(CLI::IsMember({"cosine", "step", "constant"}))
      ->capture_default_str();
  app.add_option("--warmup-epochs", args.warmup_epochs, "Rates rise linearly for so long")
      ->check(between(0, kLargest));
  app.add_option("--save", args.save, "Where what was learnt goes")->capture_default_str();
  app.add_option("--keep", args.keep, "Which model is saved: best (on val) or last")
      ->check(CLI::IsMember({"best", "last"}))
      ->capture_default_str();
  app.add_option("--checkpoint", args.checkpoint,
                 "Where --resume continues from (SAVE.checkpoint)");
  app.add_option("--checkpoint-steps", args.checkpoint_steps,
                 "Also write it every so many steps, not only after each epoch")
      ->check(CLI::NonNegativeNumber);
  app.add_flag("--resume", args.resume, "Continue an interrupted run, to the same bits");
  app.add_option("--export", args.export_file, "Also write the adapted network as ONNX");
}

Update update_of(const MethodArguments& args) {
  if (args.update == "full" && args.freeze_weights) {
    usage_error("--freeze-weights and --update full contradict each other; leave one out");
  }
  const Update update = parse_update(args.update.empty() ? "bias" : args.update).value();
  if (args.norm == "batch") check_batch_norms(args, update);
  return update;
}

Norms norms_of(std::string_view name) {
  if (name == "batch") return Norms::kBatch;
  return name == "group" ? Norms::kGroup : Norms::kFolded;
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
  options.accumulation_steps = args.accumulate;
  return options;
}

namespace {

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

DatasetOptions dataset_of(const DataArguments& args) {
  return {.keep_classes = args.only, .max_per_class = args.max_per_class, .val_fraction = 0.2};
}

Normalisation normalisation_of(const ImageArguments& args) {
  const Normalisation result{three(args.mean, "--mean"), three(args.deviation, "--std")};
  for (const float d : result.deviation) {
    if (!(d > 0) || !std::isfinite(d)) usage_error("--std must be above 0");
  }
  for (const float m : result.mean) {
    if (!std::isfinite(m)) usage_error("--mean must be a number");
  }
  return result;
}

AugmentOptions augmentation_of(const ImageArguments& args, bool native_size) {
  AugmentOptions options =
      args.no_augment ? AugmentOptions::evaluation() : AugmentOptions::training();
  options.squash = args.squash;
  options.center_fraction = args.center_fraction;
  options.area_min = args.crop_area_min > 0 ? args.crop_area_min : native_size ? 0.8 : 0.35;
  if (!args.no_augment) {
    options.flip_probability = args.flip;
    options.brightness = options.contrast = options.saturation = args.jitter;
  }
  return options;
}

LearningRates rates_of(const LoopArguments& loop, const MethodArguments& args, bool new_head) {
  const DefaultRates& defaults = kDefaultRates.at(args.optimizer);
  LearningRates rates;
  rates.backbone = args.update == "full" ? defaults.full : defaults.bias;
  rates.head = new_head ? defaults.new_head : rates.backbone;
  if (!loop.rate.empty() && loop.rate != "auto") {
    size_t used = 0;
    double rate = 0;
    try {
      rate = std::stod(loop.rate, &used);
    } catch (const std::exception&) {
      used = 0;
    }
    if (used != loop.rate.size() || !(rate > 0)) {
      usage_error("--lr takes a number above 0, or auto, not \"" + loop.rate + "\"");
    }
    rates.backbone = rate;
    if (!new_head) rates.head = rate;
  }
  if (loop.head_rate > 0) rates.head = loop.head_rate;
  rates.lite = loop.lite_rate > 0 ? loop.lite_rate : defaults.lite;
  return rates;
}

std::string checkpoint_of(const LoopArguments& loop) {
  return loop.checkpoint.empty() ? loop.save + ".checkpoint" : loop.checkpoint;
}

TrainerOptions trainer_of(const LoopArguments& loop, const MethodArguments& method,
                          const ImageArguments& image, const DataArguments& data,
                          bool native_size) {
  using Kind = LearningRateSchedule::Kind;
  if (loop.warmup_epochs > static_cast<double>(loop.epochs)) {
    usage_error("--warmup-epochs is longer than --epochs");
  }
  if (loop.save.empty()) usage_error("--save needs the name of a file");
  TrainerOptions options;
  options.epochs = loop.epochs;
  options.max_steps = loop.max_steps;
  options.schedule = loop.schedule == "constant" ? Kind::kConstant
                     : loop.schedule == "step"   ? Kind::kStep
                                                 : Kind::kCosine;
  options.warmup_epochs = loop.warmup_epochs;
  options.seed = method.seed;
  options.augment = augmentation_of(image, native_size);
  options.strict = data.strict;
  options.keep_best = loop.keep == "best";
  options.save = loop.save;
  options.checkpoint = checkpoint_of(loop);
  options.recipe = recipe_of(loop, method, image, data.hold_out);
  options.checkpoint_steps = loop.checkpoint_steps;
  options.resume = loop.resume;
  options.resume_rates = loop.rate == "auto";
  return options;
}

int run_command(CLI::App& app, int argc, char** argv, const std::function<int()>& body) {
  app.failure_message([](const CLI::App* failed, const CLI::Error& error) {
    return fmt::format("{}: {}; see --help\n", failed->get_name(), error.what());
  });
  try {
    app.parse(argc, argv);
    const int code = body();
    if (std::fflush(stdout) != 0) throw InputError("standard output cannot be written");
    return code;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kDone : kUsage;
  } catch (const BudgetError& error) {
    std::fflush(stdout);
    fmt::print(stderr, "{}: {}\n", app.get_name(), error.what());
    return kOverBudget;
  } catch (const InputError& error) {
    std::fflush(stdout);  // so that a log has the error last
    fmt::print(stderr, "{}: {}\n", app.get_name(), error.what());
    return kBadInput;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "{}: out of memory; lower --batch-size\n", app.get_name());
    return kBadInput;
  } catch (const std::exception& error) {
    std::fflush(stdout);  // so that a log has the error last
    fmt::print(stderr, "{}: {}\n", app.get_name(), error.what());
    return kBadInput;
  }
}

}  // namespace tinytl::cli

#include <fmt/core.h>

#include <map>

#include "tinytl/cli/arguments.h"
#include "tinytl/cli/option_checks.h"
#include "tinytl/cli/scheme_argument.h"

namespace tinytl::cli {
namespace {

// Rates that work untuned, by optimizer and method; Adam's were chosen on parts of two training
// sets (flowers17, cars66). A new classifier needs a rate 10 to 100 times that of pretrained
// parameters.
struct DefaultRates {
  double new_head, bias, lite, full;
};
constexpr DefaultRates kAdamRates{3e-3, 1e-3, 3e-3, 1e-4};
const std::map<std::string, DefaultRates> kDefaultRates = {{"adam", kAdamRates},
                                                           {"adamw", kAdamRates},
                                                           {"adam8bit", kAdamRates},
                                                           {"adamw8bit", kAdamRates},
                                                           {"sgd", {5e-2, 5e-3, 5e-3, 1e-3}}};

// The entries, wherever their file is.
std::string scheme_text(const MethodArguments& method) {
  std::string text;
  if (method.scheme.empty()) return text;
  for (const SchemeEntry& entry : scheme_of(method).train) text += ' ' + to_text(entry);
  return " --scheme" + text;
}

// The options that shape the result and that nothing else in a checkpoint shows.
std::string recipe_of(const LoopArguments& loop, const MethodArguments& method,
                      const ImageArguments& image, double hold_out) {
  return fmt::format(
      "--optimizer {} --keep {} --loss {} --label-smoothing {} --dropout {} --clip-norm {} "
      "--weight-decay {} --momentum {} "
      "--nesterov {} --accumulate {} --schedule {} --warmup-epochs {} --crop-area {} --flip {} "
      "--jitter {} --no-augment {} --hold-out {} --memory-budget {} --arena-budget {} --xnnpack {} "
      "--frozen-weights {} --save-activations {} --width {} --qas {} --rounding {} --gradients "
      "{}{}",
      method.optimizer, loop.keep, method.loss, method.label_smoothing, method.dropout,
      method.clip_norm, method.weight_decay, method.momentum, method.nesterov, method.accumulate,
      loop.schedule, loop.warmup_epochs, image.crop_area_min, image.flip, image.jitter,
      image.no_augment, hold_out, method.memory_budget, method.arena_budget, method.xnnpack,
      method.frozen_weights, method.save_activations, method.width, method.qas, method.rounding,
      method.gradients, scheme_text(method));
}

}  // namespace

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

}  // namespace tinytl::cli

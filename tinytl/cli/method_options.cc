#include <fmt/core.h>

#include "tinytl/cli/arguments.h"
#include "tinytl/cli/option_checks.h"
#include "tinytl/networks/reference_network.h"

namespace tinytl::cli {
namespace {

void add_network_options(CLI::App& app, MethodArguments& args) {
  CLI::Option* model = app.add_option("--model", args.model, "Pretrained network, an .onnx file");
  app.add_option("--network", args.network,
                 "In its place a network with random weights: " + reference_networks_text())
      ->excludes(model);
}

void check_network(const MethodArguments& args) {
  if (args.model.empty() && args.network.empty()) {
    usage_error("--model is required (or --network, to measure without a model file)");
  }
}

void add_precision_options(CLI::App& app, MethodArguments& args) {
  add_precision_option(app, args.precision);
  app.add_option("--requantize", args.requantize,
                 "How int8 layers round: by float multipliers, or fixed: in integers alone")
      ->check(CLI::IsMember({"float", "fixed"}))
      ->capture_default_str();
  app.add_option("--qas", args.qas,
                 "Scale the gradients of int8 parameters so that they move as floats would")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  app.add_option("--rounding", args.rounding,
                 "Of trained int8 parameters: to the nearest, or stochastic: up or down at random")
      ->check(CLI::IsMember({"nearest", "stochastic"}))
      ->capture_default_str();
  app.add_option("--gradients", args.gradients,
                 "How gradients of activations are held with --precision int8: float, or int8 with "
                 "a scale a pixel: less memory, more time, and gradients that are near")
      ->check(CLI::IsMember({"float", "int8"}))
      ->capture_default_str();
}

// SGD without momentum is what trains integers, and the default there.
void settle_precision(const CLI::App& app, MethodArguments& args) {
  if (args.precision != "int8") {
    if (args.gradients == "int8") usage_error("--gradients int8 is only for --precision int8");
    return;
  }
  const auto is_given = [&](const char* option) { return app.get_option(option)->count() > 0; };
  if (is_given("--network")) {
    usage_error("--precision int8 needs the scales of a quantized --model; --network has none");
  }
  if (!is_given("--optimizer")) args.optimizer = "sgd";
  if (!is_given("--momentum")) args.momentum = 0;
  if (args.optimizer != "sgd" || args.momentum != 0 || args.weight_decay != 0) {
    usage_error(
        "--precision int8 trains with --optimizer sgd --momentum 0 and no --weight-decay; "
        "leave them out");
  }
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

}  // namespace

void add_method_options(CLI::App& app, MethodArguments& args) {
  add_network_options(app, args);
  app.add_option(
         "--update", args.update,
         "What trains: last (the classifier), bias (default), lite (small modules beside "
         "the blocks), lite+bias, norm (scales and shifts), sparse (what --scheme names) or "
         "full")
      ->check(CLI::IsMember(update_names()));
  app.add_option("--scheme", args.scheme,
                 "What --update sparse trains: a scheme file, or last:K for the weights and biases "
                 "of the last K convolutions; the classifier always does")
      ->type_name("FILE|last:K");
  app.add_flag("--freeze-weights", args.freeze_weights,
               "No weight of the imported network changes, but for those that a scheme names "
               "(default unless --update full)");
  add_precision_options(app, args);
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
  app.parse_complete_callback([&app, &args] {
    check_network(args);
    settle_precision(app, args);
  });
}

CLI::Option* add_precision_option(CLI::App& app, std::string& precision) {
  return app
      .add_option("--precision", precision,
                  "float, or int8: layers, weights and training in the 8-bit integers of a "
                  "quantized (QDQ) model file; the classifier stays in float")
      ->check(CLI::IsMember({"float", "int8"}))
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

}  // namespace tinytl::cli

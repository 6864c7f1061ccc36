// tinytl-train: adapts a pretrained ONNX network to a folder of images, its weights frozen.

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "engine/onnx/export.h"
#include "engine/onnx/import.h"
#include "tinytl/cli/console.h"
#include "tinytl/cli/load_network.h"
#include "tinytl/cli/places.h"
#include "tinytl/cli/profile_text.h"
#include "tinytl/cli/profile_trace.h"
#include "tinytl/cli/report.h"
#include "tinytl/cli/synthetic.h"
#include "tinytl/train/choose_rates.h"
#include "tinytl/train/process_memory.h"
#include "tinytl/train/subset.h"

namespace tinytl::cli {
namespace {

struct Arguments {
  MethodArguments method;
  DataArguments data;
  ImageArguments image;
  LoopArguments loop;
  std::string report;
  bool wants_profile = false;
  std::string profile;  // the file; empty: the table alone
  bool synthetic = false;
  int64_t synthetic_classes = 100;
};

constexpr const char* kExamples = R"(
Examples:
  tinytl-train --model mobilenet_v2.onnx --data photos --freeze-weights
  tinytl-train --model mobilenet_v2.onnx --data photos --update full --epochs 30 --lr auto
  tinytl-train --model mobilenet_v2.onnx --data photos --memory-budget 15MB
  tinytl-train --model mobilenet_v2.onnx --data photos --resume
  tinytl-train --model mobilenet_v2.onnx --synthetic --classes 100 --max-steps 20
Exit codes: 0 done, 2 wrong usage, 3 bad input, 4 the memory budget cannot be met,
130 interrupted (a checkpoint is saved).)";

std::atomic<bool> stop_requested{false};

void request_stop(int) {
  // A second one does not wait for the step to end.
  if (stop_requested.exchange(true)) _exit(kInterrupted);
}

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = request_stop;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

// A part of the training set in the place of val. The same for every seed: what differs between
// runs is what is compared.
void hold_out_from_train(DatasetSplits& data, double fraction) {
  data.whole = std::move(data.train);
  HoldOut parts = hold_out(*data.whole, fraction, /*seed=*/0);
  data.train = std::move(parts.train);
  data.val = std::move(parts.held_out);
}

// The data set, or random samples of the shape of the network's input.
DatasetSplits open_data(const Arguments& args) {
  if (!args.synthetic) {
    if (args.data.data.empty()) {
      throw CLI::ValidationError("--data is required (or --synthetic, to measure without data)");
    }
    DatasetSplits splits = open_dataset(args.data.data, dataset_of(args.data));
    if (args.data.hold_out > 0) hold_out_from_train(splits, args.data.hold_out);
    return splits;
  }
  const int64_t classes = args.method.loss == "mse" ? 0 : args.synthetic_classes;
  DatasetSplits splits;
  splits.train = std::make_unique<SyntheticDataset>(sample_shape(args.method), classes,
                                                    4 * args.method.batch_size);
  return splits;
}

// One sample now: a data set that cannot be read should not wait for the network to be loaded, and
// the decoder's own code then does not count as memory of training.
void check_first_sample(const Dataset& data) {
  try {
    Sample sample;
    constexpr int kUsualSide = 224;
    data.load(0, /*channels=*/3, kUsualSide, sample);
  } catch (const ImageError&) {
    // The loader counts and names it, or stops at it where --strict is given.
  }
}

// How a batch runs, where it does not run whole: " as 8 x 1".
std::string describe_parts(const Session& session) {
  if (session.micro_batches() == 1) return "";
  return fmt::format(" as {} x {}", session.micro_batches(), session.micro_batch_size());
}

void print_task(const Arguments& args, const Setup& setup, const DatasetSplits& data,
                const LearningRates& rates) {
  const MemoryReport& memory = setup.session->memory();
  const std::string update(name_of(update_of(args.method)));
  fmt::print("tinytl-train: {} update of {}\n\n", update, network_name(args.method));
  print_line("network", setup.imported);
  print_line(
      "data",
      fmt::format("{} train, {} val samples, {} classes", count_text(data.train->size()),
                  count_text(data.val ? data.val->size() : 0), data.train->classes().size()));
  print_line("classifier", setup.classifier);
  if (!setup.lite_modules.empty()) print_line("lite residuals", lite_text(setup.lite_modules));
  print_line("trains", fmt::format("{} numbers", count_text(memory.trainable_scalars)));
  print_line("optimizer",
             fmt::format("{}, rates {:g} (classifier) and {:g}{}, {}, {} epochs of batch {}{}{}",
                         args.method.optimizer, rates.head, rates.backbone,
                         has_lite_residuals(update_of(args.method))
                             ? fmt::format(" ({:g} lite modules)", rates.lite)
                             : "",
                         args.loop.schedule, args.loop.epochs, args.method.batch_size,
                         describe_parts(*setup.session),
                         args.method.accumulate > 1
                             ? fmt::format(", {} batches an update", args.method.accumulate)
                             : ""));
  if (data.ignored_files > 0) {
    print_line("ignored", fmt::format("{} files that are no images", data.ignored_files));
  }
  print_levers(setup);
  print_memory(memory, setup.session->step_program());
}

std::string rates_text(const LearningRates& rates, bool has_lite) {
  return fmt::format("classifier {:.2g}, {}others {:.2g}", rates.head,
                     has_lite ? fmt::format("lite modules {:.2g}, ", rates.lite) : "",
                     rates.backbone);
}

LearningRates choose(Setup& setup, const Dataset& train, const LearntInfo& info,
                     const TrainerOptions& options) {
  fmt::print("\nchoosing learning rates on a part of the training set\n");
  const auto groups = setup.session->trained_groups();
  const bool has_lite = std::ranges::find(groups, Group::kLite) != groups.end();
  const auto print_trial = [&](const RateTrial& t) {
    print_line("trial",
               rates_text(t.rates, has_lite) +
                   (t.diverged ? ": diverged"
                               : fmt::format(": {} held out, loss {:.4f}",
                                             percent_text(t.held_out_top1), t.held_out_loss)));
    std::fflush(stdout);
  };
  const RateChoice choice =
      choose_rates(*setup.session, train, info, options, print_trial, stop_requested);
  print_line("chosen",
             fmt::format("{} (trials of {} epochs on {} samples, measured on {} others of "
                         "the training set)",
                         rates_text(choice.rates, has_lite), choice.epochs, choice.trained,
                         choice.held_out));
  return choice.rates;
}

void print_result(const Arguments& args, const Setup& setup, const TrainingResult& result,
                  const Measured& measured) {
  const MemoryReport& memory = setup.session->memory();
  if (!result.damaged.empty()) {
    fmt::print("\n{} damaged images were left out:\n", result.damaged.size());
    for (const std::string& message : result.damaged) fmt::print("  {}\n", message);
  }
  fmt::print("\n");
  const bool has_val = result.validated && result.best_epoch >= 0 && setup.session->classes() > 0;
  print_table(
      {{"update", "training memory", "measured growth", "step", "val top-1"},
       {std::string(name_of(update_of(args.method))), bytes_text(memory.training_memory()),
        bytes_text(measured.peak_rss_bytes),
        fmt::format("{:.1f} ms", 1e3 * result.step_seconds_median),
        has_val ? percent_text(result.epochs[static_cast<size_t>(result.best_epoch)].val_top1)
                : "-"}});
  fmt::print("\n");
  print_line("arena", fmt::format("{} planned, {} of pages touched", bytes_text(memory.arena),
                                  bytes_text(measured.arena_bytes)));
  print_line("allocations", fmt::format("{} in a step", result.allocations_in_step));
  if (result.step_seconds_median > 0) {
    print_line("predicted step",
               fmt::format("{:.1f} ms, {:+.0f} % of the measured", 1e3 * setup.predicted_seconds,
                           100 * (setup.predicted_seconds / result.step_seconds_median - 1)));
  }
}

void show_profile(const Profile& profile, const std::string& file) {
  constexpr size_t kShown = 20;
  fmt::print("\n{}", profile_text(profile, kShown));
  if (file.empty()) return;
  write_profile(file, profile);
  fmt::print("\n");
  print_line("profile", file);
}

bool comes_in_native_size(const Dataset& data, const Setup& setup) {
  const Shape& input = setup.session->input_type().shape;
  const std::vector<int64_t> sample = data.sample_shape();
  return sample.size() == 3 && input.size() == 4 && sample[0] == input[1] && sample[1] == input[2];
}

int train(const Arguments& args) {
  keep_heap_small();
  check_places(args.method.model, {{"--save", args.loop.save},
                                   {"--checkpoint", checkpoint_of(args.loop)},
                                   {"--export", args.loop.export_file},
                                   {"--report", args.report},
                                   {"--profile", args.profile}});
  DatasetSplits data = open_data(args);
  const bool has_classes = args.method.loss != "mse";
  const auto classes = has_classes ? static_cast<int64_t>(data.train->classes().size()) : 0;
  if (has_classes && classes == 0) {
    throw InputError(args.data.data + ": has no labels; --loss mse trains without them");
  }

  check_first_sample(*data.train);
  const PeakMemory peak;
  Setup setup = prepare(args.method, classes);
  std::optional<Profile> profile;
  if (args.wants_profile) profile.emplace(*setup.session);
  release_free_heap();

  LearntInfo info{.model_fingerprint = setup.fingerprint,
                  .update = std::string(name_of(update_of(args.method))),
                  .lite = lite_of(args.method),
                  .resolution = args.method.resolution,
                  .norm = args.method.norm,
                  .width = args.method.width,
                  .classes = has_classes ? data.train->classes() : std::vector<std::string>{},
                  .head = args.method.head,
                  .new_head = args.method.new_head,
                  .normalisation = normalisation_of(args.image),
                  .squash = args.image.squash,
                  .center_fraction = args.image.center_fraction,
                  .frozen_weights = args.method.frozen_weights,
                  .precision = args.method.precision,
                  .requantize = args.method.requantize};
  TrainerOptions options = trainer_of(args.loop, args.method, args.image, args.data,
                                      comes_in_native_size(*data.train, setup));
  options.rates = rates_of(args.loop, args.method, setup.new_classifier);
  if (args.synthetic) options.save = options.checkpoint = "";
  const int64_t steps = data.train->size() / args.method.batch_size * options.epochs;
  if (steps >= 1 && steps < args.method.accumulate) {
    throw InputError("--accumulate " + std::to_string(args.method.accumulate) +
                     ": the whole run has " + std::to_string(steps) +
                     " steps, too few for one update; lower it, or --batch-size");
  }
  print_task(args, setup, data, options.rates);

  catch_interrupts();
  if (args.loop.rate == "auto" && !args.loop.resume) {
    options.rates = choose(setup, *data.train, info, options);
    if (stop_requested) {
      fmt::print("\ninterrupted before training; there is nothing to resume\n");
      return kInterrupted;
    }
  }
  if (profile.has_value()) profile->start();
  fmt::print("\ntraining\n");
  ProgressBar bar;
  const bool has_val = data.val != nullptr && data.val->size() > 0;
  const TrainerEvents events{.on_step = [&](const Progress& p) { bar.show(p); },
                             .on_epoch =
                                 [&](int64_t epoch, const EpochResult& e, bool best) {
                                   bar.finish_epoch(epoch, args.loop.epochs, e, best, has_classes,
                                                    has_val);
                                 }};
  Trainer trainer(*setup.session, *data.train, data.val.get(), info, options);
  const TrainingResult result = trainer.run(events, stop_requested);

  const Measured measured{setup.session->arena_touched_bytes(), peak.growth_bytes()};
  print_result(args, setup, result, measured);
  if (profile.has_value()) show_profile(*profile, args.profile);
  if (!args.report.empty()) {
    Json report = plan_report(args.method, setup);
    add_run(report, result, measured);
    if (profile.has_value()) report["profile"] = profile_report(*profile);
    write_report(args.report, report);
  }
  if (result.interrupted) {
    fmt::print("\ninterrupted; to continue, run the same command with --resume\n");
    return kInterrupted;
  }
  if (args.synthetic) return kDone;
  print_line("learnt", options.save.string());
  if (!args.loop.export_file.empty()) {
    Graph network =
        import_onnx(args.method.model, {.resolution = args.method.resolution,
                                        .norms = norms_of(args.method),
                                        .precision = precision_of(args.method.precision),
                                        .fixed_point = info.requantize == "fixed"});
    export_onnx(adapt(std::move(network), options.save).network.graph, args.loop.export_file);
    print_line("exported", args.loop.export_file);
  }
  return kDone;
}

}  // namespace
}  // namespace tinytl::cli

int main(int argc, char** argv) {
  using namespace tinytl::cli;
  Arguments args;
  CLI::App app("Adapts a pretrained ONNX network to your images, in little and known memory.",
               "tinytl-train");
  app.footer(kExamples);
  add_method_options(app, args.method);
  add_data_options(app, args.data);
  add_view_options(app, args.image);
  add_augmentation_options(app, args.image);
  add_loop_options(app, args.loop);
  app.add_option("--report", args.report, "Write everything printed as JSON, in SI base units");
  const CLI::Option* profile =
      app.add_option("--profile", args.profile,
                     "Print where the time of a step goes, by node; and write it to a file: as a "
                     "trace for Perfetto or chrome://tracing where it ends in .json, else the "
                     "whole table")
          ->expected(0, 1)
          ->type_name("[FILE]");
  CLI::Option* synthetic =
      app.add_flag("--synthetic", args.synthetic, "Random samples, to measure memory and time");
  for (const char* option : {"--data", "--save", "--export", "--checkpoint", "--resume"}) {
    synthetic->excludes(app.get_option(option));
  }
  app.add_option("--classes", args.synthetic_classes, "Number of classes of --synthetic")
      ->check(CLI::Range(2, 1000000))
      ->needs(synthetic);
  app.get_option("--network")->needs(synthetic);
  return run_command(app, argc, argv, [&] {
    args.wants_profile = profile->count() > 0;
    return train(args);
  });
}

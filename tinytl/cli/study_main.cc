// tinytl-study: accuracy against memory, over methods, networks, data sets and seeds.

#include <fmt/core.h>

#include <filesystem>

#include "tinytl/cli/child_process.h"
#include "tinytl/cli/console.h"
#include "tinytl/cli/study_run.h"

namespace tinytl::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  tinytl-study --model net.onnx --data flowers --data cars --methods last,bias,full --out study
  tinytl-study --model net.onnx --data cars --out study --extra cars="--squash" -- --lr auto
  tinytl-study --model net.onnx --data flowers --out study --variant int8="--frozen-weights int8"
  tinytl-study --render-only --out study
Options behind -- go to every run of tinytl-train. A run that is in OUT/study.csv is not run again:
the same command continues an interrupted study, and other commands add to it.
Exit codes: 0 done, 2 wrong usage, 3 bad input or runs that failed, 130 interrupted.)";

void add_options(CLI::App& app, StudyArguments& args) {
  app.add_option("--model", args.models, "Pretrained network, an .onnx file; repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--data", args.data, "Folder of images, as of tinytl-train; repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--methods", args.methods,
                 "What trains, comma-separated: " + CLI::detail::join(study_methods(), ", "))
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--seeds", args.seeds, "Runs of each kind, with seeds from 0")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--epochs", args.epochs, "Passes over the training set")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--batch-size", args.batch_size, "Images a step")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--variant", args.variants,
                 "NAME=\"OPTIONS\": runs the grid also with these options; repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--extra", args.extras,
                 "NAME=\"OPTIONS\": options for one model, data set or method; repeatable")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option("--out", args.out, "Folder of study.csv, study.html and study.svg")->required();
  app.add_option("--jobs", args.jobs, "Runs at once; they then disturb each other's step times")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_flag("--render-only", args.render_only, "Draw OUT/study.csv again, run nothing");
  app.add_option("--train-command", args.train_command,
                 "The tinytl-train to run (the one beside this command)");
}

int study(const StudyArguments& args, const char* argv0) {
  if (!args.render_only) {
    if (args.models.empty()) throw CLI::RequiredError("--model");
    if (args.data.empty()) throw CLI::RequiredError("--data");
    grid_of(args);  // wrong usage shows before anything is written
  }
  std::filesystem::create_directories(args.out);
  StudyTable table(std::filesystem::path(args.out) / "study.csv");
  StudyOutcome outcome;
  if (!args.render_only) {
    const std::string train =
        args.train_command.empty() ? sibling_command("tinytl-train", argv0) : args.train_command;
    outcome = run_study(args, train, table, [] {});
  }
  if (outcome.interrupted) {
    fmt::print("interrupted; to continue, run the same command again\n");
    return kInterrupted;
  }
  if (outcome.failed > 0) {
    throw InputError(fmt::format("{} of {} runs failed; the others are in {}/study.csv",
                                 outcome.failed, outcome.failed + outcome.done + outcome.found,
                                 args.out));
  }
  return kDone;
}

}  // namespace
}  // namespace tinytl::cli

int main(int argc, char** argv) {
  using namespace tinytl::cli;
  StudyArguments args;
  CLI::App app("Accuracy against memory, over methods, networks, data sets and seeds.",
               "tinytl-study");
  app.footer(kExamples);
  add_options(app, args);
  app.allow_extras(false);
  // CLI11 would take what is behind "--" for positional words of this command.
  int own = 1;
  while (own < argc && std::string(argv[own]) != "--") ++own;
  args.passed.assign(argv + std::min(own + 1, argc), argv + argc);
  return run_command(app, own, argv, [&] { return study(args, argv[0]); });
}

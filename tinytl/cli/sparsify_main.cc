// tinytl-sparsify: which parts of a network to train within a budget.

#include <fmt/core.h>

#include <set>

#include "tinytl/cli/option_checks.h"
#include "tinytl/cli/sparsify.h"

namespace tinytl::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  tinytl-sparsify layers  --model mcunet.onnx
  tinytl-sparsify analyse --model mcunet.onnx --data flowers --out flowers-parts
  tinytl-sparsify analyse --model mcunet.onnx --data flowers --out flowers-parts --full
  tinytl-sparsify search  --model mcunet.onnx --data flowers --memory-budget 100KB --accounting mcunetv3
  tinytl-sparsify search  --model mcunet.onnx --data flowers --memory-budget 3MB --contributions flowers-parts
Options of analyse behind -- go to every run of tinytl-train. A part that is in OUT/contributions.csv is not
trained again: the same command goes on.
Exit codes: 0 done, 2 wrong usage, 3 bad input or runs that failed, 4 not even the classifier fits,
130 interrupted.)";

void add_estimate_options(CLI::App& app, SparsifyArguments& args) {
  add_data_options(app, args.data);
  add_view_options(app, args.image);
  app.add_option("--estimate", args.estimate,
                 "From the gradients of some samples: fisher (sum of the squares of each), or "
                 "gradient (square of their mean)")
      ->check(CLI::IsMember({"fisher", "gradient"}))
      ->capture_default_str();
  app.add_option("--samples", args.samples, "How many training samples the estimate sees")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
}

void add_analyse_options(CLI::App& app, SparsifyArguments& args) {
  app.get_option("--data")->required();
  app.add_option("--out", args.out, "Folder of contributions.csv and the pictures")->required();
  app.add_flag("--full", args.full,
               "Also train with every part on the training set, and measure on what --hold-out "
               "keeps of it: a run for each number of biases, each weight and ratio");
  app.add_option("--epochs", args.epochs, "Of a run")
      ->check(CLI::Range(1, 100000))
      ->capture_default_str();
  app.add_option("--bias-step", args.bias_step, "Between numbers of biases that are tried")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--ratios", args.ratios, "Of 0.125, 0.25, 0.5 and 1, comma-separated (all)")
      ->delimiter(',')
      ->check(CLI::IsMember({0.125, 0.25, 0.5, 1.0}));
  app.add_option("--jobs", args.jobs, "Runs at once")->check(CLI::Range(1, 64));
  app.add_option("--train-command", args.train_command,
                 "The tinytl-train to run (that beside this command)");
}

void add_search_options(CLI::App& app, SparsifyArguments& args) {
  app.add_option("--classes", args.classes, "Number of classes, without --data")
      ->check(CLI::Range(1, 1000000));
  app.add_option("--contributions", args.out,
                 "Folder of tinytl-sparsify analyse; without it, an estimate is made from --data");
  app.add_option("--accounting", args.accounting,
                 "mcunetv3: the budget is for the memory as the authors of MCUNetV3 count it, not "
                 "for the planned training memory")
      ->check(CLI::IsMember({"mcunetv3"}));
  app.add_option("--scheme-out", args.scheme, "Where the scheme goes, and its picture beside it")
      ->capture_default_str();
}

// Without the options that say what trains.
CLI::App* add_subcommand(CLI::App& app, const char* name, const char* words,
                         MethodArguments& method) {
  CLI::App* const command = app.add_subcommand(name, words);
  add_method_options(*command, method);
  for (const char* option : {"--update", "--scheme", "--freeze-weights"}) {
    command->remove_option(command->get_option(option));
  }
  return command;
}

// The options of a run of tinytl-train that were given to analyse: they are of its runs too.
std::vector<std::string> words_of_runs(const CLI::App& analysis) {
  static const std::set<std::string> of_analysis{
      "help",     "model",   "data",   "out",  "full",          "epochs", "bias-step",
      "estimate", "samples", "ratios", "jobs", "train-command", "seed",   "hold-out"};
  std::vector<std::string> words;
  for (const CLI::Option* option : analysis.get_options()) {
    if (option->count() == 0 || of_analysis.contains(option->get_single_name())) continue;
    words.push_back("--" + option->get_single_name());
    if (option->get_items_expected_max() == 0) continue;  // a flag
    words.insert(words.end(), option->results().begin(), option->results().end());
  }
  return words;
}

}  // namespace
}  // namespace tinytl::cli

int main(int argc, char** argv) {
  using namespace tinytl::cli;
  SparsifyArguments args;
  CLI::App app("Finds which parts of a network to train within a memory budget.",
               "tinytl-sparsify");
  app.footer(kExamples);
  app.require_subcommand(1);
  CLI::App* const list =
      add_subcommand(app, "layers", "Lists the convolutions by number and name", args.method);
  CLI::App* const analysis = add_subcommand(
      app, "analyse", "Measures or estimates what training each part brings", args.method);
  add_estimate_options(*analysis, args);
  add_analyse_options(*analysis, args);
  CLI::App* const best = add_subcommand(
      app, "search", "Finds the parts that bring most within --memory-budget", args.method);
  add_estimate_options(*best, args);
  add_search_options(*best, args);
  // CLI11 would take what is behind "--" for positional words of this command.
  int own = 1;
  while (own < argc && std::string(argv[own]) != "--") ++own;
  args.passed.assign(argv + std::min(own + 1, argc), argv + argc);
  return run_command(app, own, argv, [&] {
    if (list->parsed()) return layers(args);
    if (analysis->parsed()) {
      const std::vector<std::string> words = words_of_runs(*analysis);
      args.passed.insert(args.passed.begin(), words.begin(), words.end());
      return analyse(args, argv[0]);
    }
    TT_ASSERT(best->parsed());
    return search(args);
  });
}

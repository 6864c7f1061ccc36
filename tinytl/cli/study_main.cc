// tinytl-study: accuracy against memory, over methods, networks, data sets and seeds.

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "engine/graph/replace_file.h"
#include "tinytl/cli/child_process.h"
#include "tinytl/cli/console.h"
#include "tinytl/cli/study_figures.h"
#include "tinytl/cli/study_page.h"
#include "tinytl/cli/study_run.h"
#include "tinytl/cli/study_search.h"

namespace tinytl::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  tinytl-study --model net.onnx --data flowers --data cars --methods last,bias,full --out study
  tinytl-study --model net.onnx --data cars --out study --extra cars="--squash" -- --lr auto
  tinytl-study --model net.onnx --data flowers --out study --variant int8="--frozen-weights int8"
  tinytl-study --render-only --out study
  tinytl-study --search --model net.onnx --data cars --memory-budget 2MB --out search
Options behind -- go to every run of tinytl-train. A run that is in OUT/study.csv is not run again:
the same command continues an interrupted study, and other commands add to it.
Exit codes: 0 done, 2 wrong usage, 3 bad input or runs that failed, 130 interrupted.)";

void add_study_options(CLI::App& app, StudyArguments& args) {
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
                 "The tinytl-train to run, and beside it tinytl-plan (those beside this command)");
}

void add_search_options(CLI::App& app, SearchArguments& search) {
  CLI::Option* flag = app.add_flag("--search", search.wanted,
                                   "Look for the best network and method within --memory-budget, "
                                   "on a part of the training set");
  app.add_option("--memory-budget", search.memory_budget,
                 "Most training memory of a candidate, as 12MB, 512KB, 8MiB")
      ->needs(flag);
  app.add_option("--resolutions", search.resolutions,
                 "Sizes of the network's input to try, in pixels, comma-separated (its own)")
      ->delimiter(',')
      ->check(CLI::Range(8, 4096))
      ->needs(flag);
  app.add_option("--widths", search.widths,
                 "Parts of the network's channels to try, comma-separated (all of them)")
      ->delimiter(',')
      ->check(CLI::Range(0.05, 1.0))
      ->needs(flag);
  for (const char* other : {"--seeds", "--variant", "--extra", "--render-only"}) {
    flag->excludes(app.get_option(other));
  }
}

std::vector<std::string> lines_of(const std::filesystem::path& file) {
  std::vector<std::string> lines;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Every command that added to this folder, so that the page can tell how to make it again.
void remember_command(const std::filesystem::path& file, const std::string& command) {
  std::vector<std::string> lines = lines_of(file);
  if (std::ranges::find(lines, command) != lines.end()) return;
  lines.push_back(command);
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  replace_file(file, text);
}

void draw(const std::filesystem::path& folder, const StudyTable& table) {
  const Study study = study_of(table.rows());
  replace_file(folder / "study.svg", front_file(study));
  replace_file(folder / "study.html", study_html(study, lines_of(folder / "commands.txt")));
}

int search_best(const StudyArguments& args, SearchArguments wish, const std::string& command,
                const char* argv0) {
  if (wish.memory_budget.empty()) throw CLI::RequiredError("--memory-budget");
  if (args.models.empty()) throw CLI::RequiredError("--model");
  if (args.data.size() != 1) throw CLI::ValidationError("--search takes one --data");
  const bool is_given = !args.train_command.empty();
  wish.train = is_given ? args.train_command : sibling_command("tinytl-train", argv0);
  wish.plan = is_given ? (std::filesystem::path(wish.train).parent_path() / "tinytl-plan").string()
                       : sibling_command("tinytl-plan", argv0);
  const SearchResult result = search(args, wish);
  if (result.interrupted) {
    fmt::print("interrupted; to continue, run the same command again\n");
    return kInterrupted;
  }
  replace_file(std::filesystem::path(args.out) / "search.html", search_html(result, {command}));
  return kDone;
}

int study(const StudyArguments& args, const std::string& command, const char* argv0) {
  if (!args.render_only) {
    if (args.models.empty()) throw CLI::RequiredError("--model");
    if (args.data.empty()) throw CLI::RequiredError("--data");
    grid_of(args);  // wrong usage shows before anything is written
  }
  const std::filesystem::path folder(args.out);
  std::filesystem::create_directories(folder);
  StudyTable table(folder / "study.csv");
  StudyOutcome outcome;
  if (!args.render_only) {
    const std::string train =
        args.train_command.empty() ? sibling_command("tinytl-train", argv0) : args.train_command;
    remember_command(folder / "commands.txt", command);
    outcome = run_study(grid_of(args), {train, args.out, static_cast<size_t>(args.jobs)}, table,
                        [&] { draw(folder, table); });
  }
  draw(folder, table);
  fmt::print("{} rows in {}, drawn in study.html and study.svg beside it\n", table.rows().size(),
             (folder / "study.csv").string());
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
  SearchArguments wish;
  CLI::App app("Accuracy against memory, over methods, networks, data sets and seeds.",
               "tinytl-study");
  app.footer(kExamples);
  add_study_options(app, args);
  add_search_options(app, wish);
  // CLI11 would take what is behind "--" for positional words of this command.
  int own = 1;
  while (own < argc && std::string(argv[own]) != "--") ++own;
  args.passed.assign(argv + std::min(own + 1, argc), argv + argc);
  Words words{"tinytl-study"};
  words.insert(words.end(), argv + 1, argv + argc);
  return run_command(app, own, argv, [&] {
    if (!wish.wanted) return study(args, shell_line(words), argv[0]);
    if (app.count("--methods") == 0) args.methods = {"last", "bias", "lite+bias", "full"};
    return search_best(args, wish, shell_line(words), argv[0]);
  });
}

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>

#include "engine/graph/replace_file.h"
#include "tinytl/cli/child_process.h"
#include "tinytl/cli/console.h"
#include "tinytl/cli/load_network.h"
#include "tinytl/cli/sparsify.h"
#include "tinytl/cli/sparsify_picture.h"
#include "tinytl/cli/study_grid.h"
#include "tinytl/cli/training_jobs.h"

namespace tinytl::cli {
namespace {

namespace fs = std::filesystem;
using Kind = SchemeEntry::Kind;

// A part to be trained, and how.
struct PartRun {
  PartRow row;
  SchemeFile scheme;
};

// What every run is given besides its scheme.
Words options_of(const SparsifyArguments& args) {
  Words words{"--epochs",   std::to_string(args.epochs),
              "--hold-out", fmt::format("{}", args.hold_out),
              "--seed",     std::to_string(args.method.seed)};
  words.insert(words.end(), args.passed.begin(), args.passed.end());
  return words;
}

// The classifier alone, biases from the last on, then weights beside all biases.
std::vector<PartRun> runs_of(const SparsifyArguments& args, const SparsifyNetwork& network,
                             const Graph& graph) {
  const auto count = static_cast<int64_t>(network.layers().size());
  const std::string options = shell_line(options_of(args));
  std::vector<PartRun> runs;
  const auto add = [&](PartRow row, std::vector<SchemeEntry> train) {
    row.measure = "accuracy";
    row.options = options;
    runs.push_back({std::move(row), {.train = std::move(train)}});
  };
  const auto biases = [](int64_t k) { return SchemeEntry{.kind = Kind::kLastBiases, .number = k}; };
  add({.part = "classifier"}, {});
  for (int64_t k = count; k >= 1; k -= args.bias_step) {
    add({.part = "biases", .number = k}, {biases(k)});
  }
  for (const double ratio : kRatios) {
    if (!args.ratios.empty() && std::ranges::find(args.ratios, ratio) == args.ratios.end()) {
      continue;
    }
    for (int64_t i = 0; i < count; ++i) {
      const Convolution& layer = network.layers()[static_cast<size_t>(i)];
      add({.part = "weight",
           .number = i,
           .channels = ratio,
           .name = graph.value(layer.weight).name},
          {biases(count), {.kind = Kind::kConvolution, .number = i, .channels = ratio}});
    }
  }
  return runs;
}

std::string text_of(const PartRow& row) {
  if (row.part == "classifier") return "classifier alone";
  if (row.part == "biases") return fmt::format("biases of the last {}", row.number);
  return fmt::format("{} of weight {}, {}", row.channels, row.number, row.name);
}

// The same run, measured finer: accuracy moves in steps of one sample.
PartRow likelihood_row(PartRow row, double value) {
  row.measure = "likelihood";
  row.value = value;
  return row;
}

// Runs what is not in the table yet; how many failed.
size_t train_parts(const SparsifyArguments& args, const std::string& train,
                   std::vector<PartRun> runs, PartTable& table) {
  const fs::path schemes = fs::path(args.out) / "schemes";
  fs::create_directories(schemes);
  const size_t found = std::erase_if(runs, [&](const PartRun& run) { return table.has(run.row); });
  fmt::print("tinytl-sparsify: {} runs, {} of them done before\n", runs.size() + found, found);
  std::vector<Words> commands;
  for (const PartRun& run : runs) {
    const fs::path file =
        schemes / fmt::format("{}-{}-{}.json", run.row.part, run.row.number, run.row.channels);
    write_scheme(file, run.scheme);
    Words words{"--model",  args.method.model, "--data",   args.data.data,
                "--update", "sparse",          "--scheme", file.string()};
    const Words options = options_of(args);
    words.insert(words.end(), options.begin(), options.end());
    commands.push_back(std::move(words));
  }
  size_t failed = 0, ended = 0;
  catch_interrupts_for_children();
  run_jobs(commands, {train, args.out, static_cast<size_t>(args.jobs)}, [&](const JobEnd& end) {
    PartRow row = runs[end.job].row;
    ++ended;
    if (!end.defect.empty() || !end.report.contains("last_val_top1")) {
      ++failed;
      fmt::print(stderr, "tinytl-sparsify: {}: {}\n", text_of(row),
                 end.defect.empty() ? "the run held nothing out" : end.defect);
      return;
    }
    row.value = end.report.at("last_val_top1");
    row.seconds = end.seconds;
    table.append(likelihood_row(row, -end.report.at("epochs").back().at("val_loss").get<double>()));
    table.append(row);
    fmt::print("  {}/{}  {}  {}\n", ended, runs.size(), text_of(row), percent_text(row.value));
    std::fflush(stdout);
  });
  return failed;
}

void draw(const SparsifyArguments& args, const SparsifyNetwork& network, const MeasuredParts& parts,
          const std::string& measure) {
  PartPicture picture;
  picture.title = fmt::format("What training each part of {} brings", network_name(args.method));
  const auto trained = [&](const char* what) {
    return fmt::format("{} on {:g} % of the training set, {} of {} runs", what, 100 * args.hold_out,
                       parts.known, parts.all);
  };
  picture.subtitle =
      fmt::format("on {}, {}", study_name(args.data.data),
                  measure == "accuracy"     ? trained("top-1")
                  : measure == "likelihood" ? trained("fall of the loss")
                                            : "estimated by " + measure + " of gradients");
  picture.names = network.names();
  picture.in_points = measure == "accuracy";
  picture.gains = parts.gains;
  replace_file(fs::path(args.out) / (measure + ".svg"), part_svg(picture));
}

// Every number of a contribution, in a fixed order.
std::vector<double> weights_of(const Contributions& gains) {
  std::vector<double> all;
  for (const auto& ratios : gains.weights) all.insert(all.end(), ratios.begin(), ratios.end());
  return all;
}

void print_ranking(const MeasuredParts& trained, const char* by, const MeasuredParts& estimate,
                   const std::string& measure) {
  if (trained.known < trained.all) return;
  print_line("ranks",
             fmt::format("{} as training does by its {} (Spearman): {:.2f} of weights and ratios, "
                         "{:.2f} of biases",
                         measure, by,
                         rank_correlation(weights_of(trained.gains), weights_of(estimate.gains)),
                         rank_correlation(trained.gains.biases, estimate.gains.biases)));
}

void print_best(const SparsifyNetwork& network, const MeasuredParts& parts, bool in_points) {
  struct Part {
    size_t layer;
    double gain;
  };
  std::vector<Part> best;
  for (size_t i = 0; i < parts.gains.weights.size(); ++i) {
    best.push_back({i, std::ranges::max(parts.gains.weights[i])});
  }
  std::ranges::stable_sort(best, std::greater<>(), &Part::gain);
  constexpr size_t kShown = 8;
  std::vector<std::vector<std::string>> rows{{"weight", "number", "brings"}};
  for (const Part& part : std::span(best).first(std::min(kShown, best.size()))) {
    rows.push_back({network.names()[part.layer], std::to_string(part.layer),
                    in_points ? fmt::format("{:+.2f} points", 100 * part.gain)
                              : fmt::format("{:.3g}", part.gain)});
  }
  fmt::print("\n");
  print_table(rows);
  fmt::print("\n");
}

}  // namespace

int analyse(const SparsifyArguments& args, const char* argv0) {
  const fs::path folder(args.out);
  fs::create_directories(folder);
  PartTable table(folder / "contributions.csv");
  const DatasetSplits data = open_dataset(args.data.data, dataset_of(args.data));
  SparsifyNetwork network(args, static_cast<int64_t>(data.train->classes().size()), 1);
  const auto count = static_cast<int64_t>(network.layers().size());
  const std::string options = fmt::format("{} samples, seed {}", args.samples, args.method.seed);
  const bool is_known = std::ranges::any_of(table.rows(), [&](const PartRow& row) {
    return row.measure == args.estimate && row.options == options;
  });
  if (!is_known) {
    const auto kind = args.estimate == "fisher" ? Estimate::kFisher : Estimate::kGradient;
    const Contributions gains = estimate_contributions(args, kind);
    for (const PartRow& row : rows_of(gains, args.estimate, options, network.names())) {
      table.append(row);
    }
  }
  size_t failed = 0;
  if (args.full) {
    const std::string train =
        args.train_command.empty() ? sibling_command("tinytl-train", argv0) : args.train_command;
    failed = train_parts(args, train, runs_of(args, network, network.graph()), table);
  }
  const auto estimate = measured_parts(table.rows(), args.estimate, count);
  const auto accuracy = measured_parts(table.rows(), "accuracy", count);
  draw(args, network, *estimate, args.estimate);
  const auto likelihood = measured_parts(table.rows(), "likelihood", count);
  if (accuracy.has_value()) draw(args, network, *accuracy, "accuracy");
  if (likelihood.has_value()) draw(args, network, *likelihood, "likelihood");
  print_best(network, accuracy.has_value() ? *accuracy : *estimate, accuracy.has_value());
  if (accuracy.has_value()) print_ranking(*accuracy, "accuracy", *estimate, args.estimate);
  if (likelihood.has_value()) print_ranking(*likelihood, "loss", *estimate, args.estimate);
  print_line("table", (folder / "contributions.csv").string());
  print_line(
      "picture",
      (folder / ((likelihood.has_value() ? "likelihood" : args.estimate) + ".svg")).string());
  if (was_interrupted()) {
    fmt::print("interrupted; to continue, run the same command again\n");
    return kInterrupted;
  }
  if (failed > 0)
    throw InputError(fmt::format("{} runs failed; run the same command again", failed));
  return kDone;
}

}  // namespace tinytl::cli

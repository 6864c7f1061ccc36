// Whole steps of real networks: memory, time, time by phase, and the slowest nodes.
//
//   step_bench [--models A.onnx,B.onnx] [--updates bias,full,inference] [--batches 8,1] ...
//
// A step is what tinytl-train runs (micro-batches, threads and XNNPACK as it would choose them) on
// one synthetic batch with 100 classes; "inference" is what tinytl-eval runs. Models are files, or
// names below $TINYTL_DATA/models.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "bench/training_case.h"
#include "engine/graph/replace_file.h"
#include "engine/onnx/import.h"
#include "tinytl/cli/adapted.h"
#include "tinytl/cli/console.h"
#include "tinytl/cli/profile_text.h"
#include "tinytl/methods/classifier.h"

namespace tinytl {
namespace {

using Json = nlohmann::ordered_json;
using cli::bytes_text;

constexpr int64_t kClasses = 100;

struct Arguments {
  std::vector<std::string> models = {"mobilenet_v2_1.0_imagenet224_fp32.onnx",
                                     "mbv2-w0.35_imagenet128_fp32.onnx",
                                     "mcunet-5fps_imagenet128_fp32.onnx"};
  std::vector<std::string> updates = {"bias", "full", "inference"};
  std::vector<int64_t> batches = {8, 1};
  std::string optimizer = "sgd", micro_batch = "auto", xnnpack = "off", json;
  int threads = 1;
  int steps = 0;       // 0: as many as fit into `seconds`
  double seconds = 2;  // of measuring, a case
};

struct Case {
  std::string model, path, update;
  int64_t batch = 0;
};

// The file, or the one below $TINYTL_DATA/models; empty where there is neither.
std::string find_model(const std::string& name) {
  if (std::filesystem::exists(name)) return name;
  const char* const data = std::getenv("TINYTL_DATA");
  if (data == nullptr) return "";
  const auto path = std::filesystem::path(data) / "models" / name;
  return std::filesystem::exists(path) ? path.string() : "";
}

struct Times {
  double median = 0, least = 0;
  int steps = 0;
};

double seconds_of(const std::function<void()>& step) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  step();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// The first two steps touch memory and warm up caches; they do not count.
Times measure(const Arguments& args, const std::function<void()>& step) {
  step();
  const double first = seconds_of(step);
  const int steps =
      args.steps > 0 ? args.steps : std::clamp(static_cast<int>(args.seconds / first), 5, 1000);
  std::vector<double> seconds;
  for (int i = 0; i < steps; ++i) seconds.push_back(seconds_of(step));
  std::ranges::sort(seconds);
  return {seconds[seconds.size() / 2], seconds.front(), steps};
}

Json json_of(const Case& c, const Arguments& args, const Times& times, size_t arena,
             size_t memory) {
  return {{"model", c.model},
          {"update", c.update},
          {"batch_size", c.batch},
          {"threads", args.threads},
          {"arena_bytes", arena},
          {"training_memory_bytes", memory},
          {"steps", times.steps},
          {"step_seconds_median", times.median},
          {"step_seconds_least", times.least}};
}

void print_head(const Case& c, const std::string& parts, const Times& times, size_t arena,
                size_t memory) {
  fmt::print("{}, {}, batch {}{}\n", c.model, c.update, c.batch, parts);
  cli::print_line(
      "memory", fmt::format("arena {}, with parameters {}", bytes_text(arena), bytes_text(memory)));
  cli::print_line("step", fmt::format("{:.2f} ms (median of {}; least {:.2f} ms)",
                                      1e3 * times.median, times.steps, 1e3 * times.least));
}

void print_nodes(const cli::Profile& profile) {
  constexpr size_t kShown = 5;
  std::string phases;
  for (const cli::NodeTotals& phase : totals_by_phase(profile)) {
    phases +=
        fmt::format("{}{} {:.2f} ms", phases.empty() ? "" : ", ", phase.name, 1e3 * phase.seconds);
  }
  cli::print_line("phases", phases);
  const std::vector<size_t> slowest = slowest_nodes(profile);
  for (size_t i = 0; i < std::min(kShown, slowest.size()); ++i) {
    const cli::ProfiledNode& node = profile.nodes()[slowest[i]];
    const cli::NodeTotals totals = totals_of(profile, slowest[i]);
    cli::print_line(i == 0 ? "slowest nodes" : "",
                    fmt::format("{:8.3f} ms  {:>14}  {} of {} {}", 1e3 * totals.seconds,
                                rate_text(totals), node.op, node.name, node.type));
  }
}

Json run_training(const Case& c, const Arguments& args) {
  cli::MethodArguments method;
  method.model = c.path;
  method.update = c.update;
  method.batch_size = c.batch;
  method.optimizer = args.optimizer;
  method.micro_batch = args.micro_batch;
  method.threads = args.threads;
  method.xnnpack = args.xnnpack;
  TrainingCase training(method, kClasses);
  Session& session = training.session();
  cli::Profile profile(session);
  session.forget_plan();
  const Times times = measure(args, [&] { training.step(); });
  for (int i = 0; i < std::clamp(times.steps, 3, 20); ++i) training.step(&profile.times());
  const MemoryReport& memory = session.memory();
  const int64_t parts = session.micro_batches();
  print_head(c, parts > 1 ? fmt::format(" as {} x {}", parts, session.micro_batch_size()) : "",
             times, memory.arena, memory.training_memory());
  print_nodes(profile);
  Json json = json_of(c, args, times, memory.arena, memory.training_memory());
  json["micro_batch_size"] = session.micro_batch_size();
  json["trainable_bytes"] = memory.trainable;
  for (const cli::NodeTotals& phase : totals_by_phase(profile)) {
    json["phase_seconds"][phase.name] = phase.seconds;
  }
  json["nodes"] = profile_report(profile);
  return json;
}

// The plan that Inference runs; beside the arena, parameters.
MemoryReport inference_memory(const Case& c, const Arguments& args) {
  const Graph network = flatten_scores(import_onnx(c.path, {.batch = c.batch}));
  const Program program = inference_program(network, Loss::Kind::kSoftmaxCrossEntropy,
                                            *tt_best_kernels(), {.threads = args.threads});
  MemoryReport memory;
  memory.arena = program.plan.arena_bytes;
  memory.frozen = persistent_bytes(program.graph).parameters;
  return memory;
}

Json run_inference(const Case& c, const Arguments& args) {
  const MemoryReport memory = inference_memory(c, args);
  cli::AdaptedArguments adapted;
  adapted.model = c.path;
  adapted.batch_size = c.batch;
  adapted.threads = args.threads;
  adapted.xnnpack = args.xnnpack;
  cli::Adapted network = cli::load_adapted(adapted, {});
  const Batch batch = synthetic_batch(network.inference.input_type(), kClasses);
  const Times times =
      measure(args, [&] { network.inference.predict(batch, network.info.normalisation); });
  print_head(c, "", times, memory.arena, memory.training_memory());
  return json_of(c, args, times, memory.arena, memory.training_memory());
}

Arguments parse(CLI::App& app, int argc, char** argv) {
  Arguments args;
  app.add_option("--models", args.models, "Files, or names below $TINYTL_DATA/models")
      ->delimiter(',');
  app.add_option("--updates", args.updates, "last, bias, full, inference")
      ->delimiter(',')
      ->check(CLI::IsMember({"last", "bias", "full", "inference"}));
  app.add_option("--batches", args.batches, "Sizes")->delimiter(',')->check(CLI::Range(1, 4096));
  app.add_option("--optimizer", args.optimizer, "adam, adamw or sgd")->capture_default_str();
  app.add_option("--micro-batch", args.micro_batch, "As tinytl-train's")->capture_default_str();
  cli::add_threads_option(app, args.threads);
  cli::add_xnnpack_option(app, args.xnnpack);
  app.add_option("--steps", args.steps, "Measured steps of a case (0: as --seconds allows)");
  app.add_option("--seconds", args.seconds, "Time for a case")->capture_default_str();
  app.add_option("--json", args.json, "Write the figures, with those of all nodes, to this file");
  app.parse(argc, argv);
  return args;
}

int run(const Arguments& args) {
  Json results = Json::array();
  for (const std::string& model : args.models) {
    const std::string path = find_model(model);
    if (path.empty()) {
      fmt::print(stderr, "{}: left out, no such file here or below $TINYTL_DATA/models\n", model);
      continue;
    }
    for (const std::string& update : args.updates) {
      for (const int64_t batch : args.batches) {
        const Case c{std::filesystem::path(model).filename().string(), path, update, batch};
        results.push_back(update == "inference" ? run_inference(c, args) : run_training(c, args));
        std::fflush(stdout);
      }
    }
  }
  if (!args.json.empty()) replace_file(args.json, results.dump(1) + "\n");
  return results.empty() ? 3 : 0;
}

}  // namespace
}  // namespace tinytl

int main(int argc, char** argv) {
  CLI::App app("Times whole training steps and inference of real networks.", "step_bench");
  try {
    return tinytl::run(tinytl::parse(app, argc, argv));
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "step_bench: {}\n", error.what());
    return 3;
  }
}

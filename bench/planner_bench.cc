// Arena placement on training graphs and on hard generated instances, against the rules of others.
//
//   planner_bench [real|hard]
//
// Training graphs: every float model in $TINYTL_DATA/models. Exit code 1 where a plan is wrong or
// another rule has a smaller arena. Then what training of biases needs beside inference.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "bench/hard_instances.h"
#include "bench/placement_rules.h"
#include "engine/onnx/import.h"
#include "engine/runtime/program.h"
#include "optim/optimizer.h"
#include "tinytl/methods/classifier.h"
#include "tinytl/methods/find_classifier.h"
#include "tinytl/methods/update.h"
#include "tinytl/train/inference.h"

namespace tinytl {
namespace {

// The fewest classes that leave no model its own classifier, so that each gets a new one.
constexpr int64_t kClasses = 17;
constexpr int64_t kBatches[] = {1, 8};
constexpr Update kUpdates[] = {Update::kLast, Update::kBias, Update::kFull};

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

// Of up to nine runs, fewer where one takes long.
double median_plan_ms(std::span<const Lifetime> tensors) {
  std::vector<double> times;
  double total = 0;
  while (times.size() < 9 && total < 300) {
    const auto start = std::chrono::steady_clock::now();
    plan_memory(tensors);
    times.push_back(milliseconds_since(start));
    total += times.back();
  }
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

struct Rule {
  const char* name;
  MemoryPlan (*place)(std::span<const Lifetime>, size_t);
};

constexpr Rule kRules[] = {{"none", place_without_sharing},
                           {"nntrainer", place_nntrainer},
                           {"tinyengine", place_tinyengine},
                           {"tflite", place_tflite}};

void print_header(const char* title) {
  std::printf("\n%s: arena in KiB; what others' rules take, as a multiple of it\n", title);
  std::printf("%-46s %7s %10s %10s %7s %8s", "", "tensors", "bound", "arena", "gap %", "plan ms");
  for (const Rule& rule : kRules) std::printf(" %10s", rule.name);
  std::printf("\n");
}

// One line of the table; whether all is as it should be.
bool report(const std::string& name, std::span<const Lifetime> tensors) {
  const MemoryPlan plan = plan_memory(tensors);
  const double ms = median_plan_ms(tensors);
  std::printf("%-46s %7zu %10.1f %10.1f %7.2f %8.3f", name.c_str(), tensors.size(),
              double(plan.lower_bound_bytes) / 1024, double(plan.arena_bytes) / 1024,
              100 * plan.gap(), ms);
  std::string error = check_plan(tensors, plan);
  for (const Rule& rule : kRules) {
    const MemoryPlan other = rule.place(tensors, 64);
    std::printf(" %10.3f", double(other.arena_bytes) / double(plan.arena_bytes));
    const std::string other_error = check_plan(tensors, other);
    if (!other_error.empty()) error += std::string(" ") + rule.name + ": " + other_error;
    if (other.arena_bytes < plan.arena_bytes) error += std::string(" ") + rule.name + " is smaller";
  }
  std::printf("%s%s\n", error.empty() ? "" : "  WRONG: ", error.c_str());
  std::fflush(stdout);
  return error.empty();
}

// As tinytl::cli::prepare does; a network that gives back its input is trained to do so.
struct Network {
  FittedClassifier fitted;
  Loss loss;
};

Network load_network(const std::filesystem::path& model, int64_t batch) {
  const Graph network = import_onnx(model, {.batch = batch});
  const bool is_autoencoder =
      network.value(stored_output(network)).type == network.value(network.inputs.at(0)).type;
  const Loss loss{is_autoencoder ? Loss::Kind::kMeanSquaredError
                                 : Loss::Kind::kSoftmaxCrossEntropy};
  return {is_autoencoder ? keep_classifier(network, "") : fit_classifier(network, kClasses, {}),
          loss};
}

Program training_program(const Network& network, Update update) {
  const UpdateScheme scheme = make_scheme(network.fitted.graph, update, network.fitted.parameters);
  TrainingGraph training =
      append_updates(differentiate(network.fitted.graph, network.loss, scheme), {});
  return compile(std::move(training.graph), *tt_best_kernels());
}

std::vector<std::filesystem::path> float_models(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> models;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.find("_fp32") != std::string::npos && name.ends_with(".onnx")) {
      models.push_back(entry.path());
    }
  }
  std::sort(models.begin(), models.end());
  return models;
}

bool report_training_graphs() {
  const char* data = std::getenv("TINYTL_DATA");
  if (data == nullptr) {
    std::printf("training graphs: left out, TINYTL_DATA is not set\n");
    return true;
  }
  print_header("Training graphs, Adam");
  bool ok = true;
  for (const auto& model : float_models(std::filesystem::path(data) / "models")) {
    for (const Update update : kUpdates) {
      for (const int64_t batch : kBatches) {
        const std::string name = model.stem().string() + " " + std::string(name_of(update)) + " " +
                                 std::to_string(batch);
        try {
          ok = report(name,
                      training_program(load_network(model, batch), update).buffers.lifetimes) &&
               ok;
        } catch (const InputError& error) {
          std::printf("%-46s left out: %s\n", name.c_str(), error.what());
        }
      }
    }
  }
  return ok;
}

// Without any budget: what the frozen network takes anyway, and what training adds to it.
void report_training_over_inference() {
  const char* data = std::getenv("TINYTL_DATA");
  if (data == nullptr) return;
  std::printf("\nTraining of biases and inference, batch 1: arena in KiB\n");
  std::printf("%-46s %10s %10s %7s\n", "", "training", "inference", "ratio");
  for (const auto& model : float_models(std::filesystem::path(data) / "models")) {
    try {
      const Network network = load_network(model, 1);
      const double training = double(training_program(network, Update::kBias).plan.arena_bytes);
      const Program forward =
          inference_program(network.fitted.graph, network.loss.kind, *tt_best_kernels());
      const double inference = double(forward.plan.arena_bytes);
      std::printf("%-46s %10.1f %10.1f %7.3f\n", model.stem().c_str(), training / 1024,
                  inference / 1024, training / inference);
    } catch (const InputError& error) {
      std::printf("%-46s left out: %s\n", model.stem().c_str(), error.what());
    }
  }
}

bool report_hard_instances() {
  bool ok = true;
  print_header("Rectangles cut up (bound at most 64 KiB, reachable)");
  for (const int removed : {0, 12}) {
    for (const int count : {40, 80, 150, 300}) {
      for (const uint64_t seed : {1, 2, 3}) {
        const std::string name =
            std::to_string(count) + " pieces" +
            (removed > 0 ? ", 1 in " + std::to_string(removed) + " removed" : std::string()) +
            ", seed " + std::to_string(seed);
        ok = report(name, cut_rectangle({count, count / 2, 1024, removed}, seed)) && ok;
      }
    }
  }
  print_header("Chains of layers in training");
  for (const int layers : {50, 200, 1000}) {
    for (const uint64_t seed : {1, 2, 3}) {
      const std::string name = std::to_string(layers) + " layers, seed " + std::to_string(seed);
      ok = report(name, chain_lifetimes({layers, 1000}, seed)) && ok;
    }
  }
  print_header("Random lifetimes");
  for (const int count : {40, 80, 200, 1000, 10000}) {
    for (const uint64_t seed : {1, 2}) {
      const std::string end = " lived, seed " + std::to_string(seed);
      const std::string start = std::to_string(count);
      ok = report(start + " short" + end, random_lifetimes({count, count, 20, 100}, seed)) && ok;
      ok = report(start + " long" + end,
                  random_lifetimes({count, count / 2, count / 8, 100}, seed)) &&
           ok;
    }
  }
  return ok;
}

int run(std::string_view what) {
  bool ok = true;
  if (what != "hard") {
    ok = report_training_graphs() && ok;
    report_training_over_inference();
  }
  if (what != "real") ok = report_hard_instances() && ok;
  return ok ? 0 : 1;
}

}  // namespace
}  // namespace tinytl

int main(int argc, char** argv) {
  try {
    return tinytl::run(argc > 1 ? argv[1] : "");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 3;
  }
}

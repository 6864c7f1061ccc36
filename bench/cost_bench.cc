// Measured against modelled time (engine/schedule/cost.h) of training steps, by kind of node.
//
//   cost_bench [--fit] MODEL.onnx UPDATE BATCH [MODEL.onnx UPDATE BATCH ...]
//
// Adam, 10 classes, one thread. Every figure is the least of several repeats: other programs only
// ever add time. --fit prints the rates of cost.cc that fit all these nodes best (least squares,
// no rate negative).
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "bench/training_case.h"
#include "engine/schedule/cost.h"

namespace tinytl {
namespace {

constexpr const char* kKindNames[kCostKinds] = {
    "view",     "pointwise", "pointwise dx", "pointwise dw", "matrix",       "conv",
    "conv dx",  "conv dw",   "depthwise",    "depthwise dx", "depthwise dw", "map",
    "function", "sum",       "update",       "other"};

struct Sample {
  NodeWork work;
  double seconds = 0;
};

cli::MethodArguments method_of(const std::string& model, const std::string& update, int64_t batch) {
  cli::MethodArguments method;
  method.model = model;
  method.update = update;
  method.batch_size = batch;
  method.micro_batch = std::to_string(batch);
  return method;
}

std::vector<Sample> samples_of(const Session& session) {
  const Graph& graph = session.step_program().graph;
  std::vector<Sample> samples;
  for (const NodeId id : session.step_nodes()) {
    samples.push_back({node_work(graph, graph.node(id)), 1e30});
  }
  return samples;
}

// The least time of each node in `steps` steps.
std::vector<Sample> measure_nodes(TrainingCase& training, int steps) {
  std::vector<Sample> samples = samples_of(training.session());
  for (int step = 0; step < steps; ++step) {
    StepTimes times(samples.size(), samples.size(), /*parts=*/1);
    training.step(&times);
    for (size_t i = 0; i < samples.size(); ++i) {
      samples[i].seconds = std::min(samples[i].seconds, times.mean_seconds(i));
    }
  }
  return samples;
}

// Of this thread alone: a whole step seldom gets through without being interrupted.
double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double measure_step(TrainingCase& training, int steps) {
  double least = 1e30;
  for (int step = 0; step < steps; ++step) {
    const double start = processor_seconds();
    training.step();
    least = std::min(least, processor_seconds() - start);
  }
  return least;
}

double percent(double got, double want) { return want > 0 ? 100 * (got / want - 1) : 0; }

void report(const std::vector<Sample>& samples, double step) {
  std::array<double, kCostKinds> measured{}, modelled{};
  std::array<int, kCostKinds> count{};
  double all = 0;
  for (const Sample& s : samples) {
    const auto kind = static_cast<size_t>(s.work.kind);
    measured[kind] += s.seconds;
    modelled[kind] += seconds_of(s.work);
    all += seconds_of(s.work);
    ++count[kind];
  }
  std::printf("  %-14s %6s %12s %12s %8s\n", "", "nodes", "measured", "modelled", "error");
  for (size_t k = 0; k < kCostKinds; ++k) {
    if (count[k] == 0) continue;
    std::printf("  %-14s %6d %9.3f ms %9.3f ms %+7.1f%%\n", kKindNames[k], count[k],
                1e3 * measured[k], 1e3 * modelled[k], percent(modelled[k], measured[k]));
  }
  std::printf("  %-14s %6zu %9.3f ms %9.3f ms %+7.1f%%\n", "step", samples.size(), 1e3 * step,
              1e3 * all, percent(all, step));
}

std::vector<Sample> run_case(const std::string& model, const std::string& update, int64_t batch) {
  constexpr int64_t kClasses = 10;
  TrainingCase training(method_of(model, update, batch), kClasses);
  const double first = measure_step(training, 1);
  const int steps = std::clamp(static_cast<int>(2.0 / first), 7, 100);
  const double step = measure_step(training, steps);
  std::vector<Sample> samples = measure_nodes(training, steps);
  std::printf("%s %s batch %lld, least of %d\n", model.substr(model.rfind('/') + 1).c_str(),
              update.c_str(), static_cast<long long>(batch), steps);
  report(samples, step);
  return samples;
}

constexpr size_t kRates = 4;
using Rates = std::array<double, kRates>;
struct Equation {
  Rates factors;
  double result;
};

// The rates, none negative, with the least sum of (factors . rates - result)^2: one after the
// other.
Rates least_squares(const std::vector<Equation>& equations) {
  Rates rates{};
  for (int sweep = 0; sweep < 20000; ++sweep) {
    for (size_t k = 0; k < kRates; ++k) {
      double numerator = 0, denominator = 0;
      for (const auto& [factors, result] : equations) {
        double rest = result;
        for (size_t j = 0; j < kRates; ++j) rest -= j == k ? 0 : factors[j] * rates[j];
        numerator += factors[k] * rest;
        denominator += factors[k] * factors[k];
      }
      rates[k] = denominator > 0 ? std::max(0.0, numerator / denominator) : 0;
    }
  }
  return rates;
}

void fit(const std::vector<Sample>& samples) {
  for (size_t kind = 1; kind < kCostKinds; ++kind) {
    std::vector<Equation> equations;
    for (const Sample& s : samples) {
      if (static_cast<size_t>(s.work.kind) != kind) continue;
      // Between the relative and the absolute error: long nodes matter more, short ones still do.
      const double w = std::pow(s.seconds, -0.6);
      equations.push_back(
          {{w, w * s.work.flops, w * s.work.bytes, w * s.work.far_bytes}, w * s.seconds});
    }
    const Rates r = least_squares(equations);
    std::printf("    {%.2e, %.3e, %.3e, %.3e},  // %s, %zu nodes\n", r[0], r[1], r[2], r[3],
                kKindNames[kind], equations.size());
  }
}

int run(std::vector<std::string> arguments) {
  const bool wants_fit = !arguments.empty() && arguments[0] == "--fit";
  if (wants_fit) arguments.erase(arguments.begin());
  if (arguments.empty() || arguments.size() % 3 != 0) {
    std::fprintf(stderr, "usage: cost_bench [--fit] MODEL.onnx last|bias|full BATCH [...]\n");
    return 2;
  }
  std::vector<Sample> samples;
  for (size_t i = 0; i < arguments.size(); i += 3) {
    const auto more =
        run_case(arguments[i], arguments[i + 1], std::atoll(arguments[i + 2].c_str()));
    samples.insert(samples.end(), more.begin(), more.end());
  }
  if (wants_fit) fit(samples);
  std::printf("this machine: %.2f times the reference\n", machine_scale());
  return 0;
}

}  // namespace
}  // namespace tinytl

int main(int argc, char** argv) {
  try {
    return tinytl::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 3;
  }
}

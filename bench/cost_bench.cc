// Measured against modelled time (engine/schedule/cost.h) of training steps, by kind of node.
//
//   cost_bench [--fit] MODEL.onnx UPDATE BATCH [MODEL.onnx UPDATE BATCH ...]
//
// Adam, 10 classes, one thread. Every figure is the least of several repeats: other programs only
// ever add time. --fit prints the rates of cost.cc that fit all these nodes best (least squares,
// no rate negative).
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "engine/onnx/import.h"
#include "engine/runtime/executor.h"
#include "engine/schedule/cost.h"
#include "optim/optimizer.h"
#include "tinytl/methods/classifier.h"
#include "tinytl/methods/update.h"

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

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

TrainingGraph training_graph(const std::string& model, const std::string& update, int64_t batch) {
  const auto parsed = parse_update(update);
  if (!parsed.has_value()) throw InputError("\"" + update + "\" is not last, bias or full");
  const FittedClassifier network =
      fit_classifier(import_onnx(model, {.batch = batch}), /*classes=*/10, {});
  const UpdateScheme scheme = make_scheme(network.graph, *parsed, network.parameters);
  return append_updates(differentiate(network.graph, {}, scheme), {});
}

// Pixels between 0 and 1; rates of 0, so that repeats compute the same.
void write_inputs(const Executor& executor) {
  const Graph& graph = executor.graph();
  for (const ValueId id : graph.inputs) {
    if (graph.value(id).type.dtype != DType::kF32) {
      std::ranges::fill(executor.i32(id), 0);
      continue;
    }
    uint32_t state = 1;
    const bool is_image = id == graph.inputs[0];
    for (float& x : executor.f32(id)) {
      state = state * 1664525u + 1013904223u;
      x = is_image ? static_cast<float>(state >> 8) / (1 << 24) : 0.0f;
    }
    if (graph.value(id).name == "adam_correction") std::ranges::fill(executor.f32(id), 1.0f);
  }
}

// The kernels of a program one by one, as the executor calls them.
class Stepper {
 public:
  explicit Stepper(const Executor& executor) : program_(executor.program()), executor_(executor) {
    for (const NodeId id : program_.schedule.order) {
      if (!program_.buffers.elided[index(id)]) add(id);
    }
  }

  // The least time of each node in `steps` steps.
  std::vector<Sample> measure(int steps) {
    std::vector<Sample> samples;
    for (const Call& call : calls_) {
      samples.push_back({node_work(program_.graph, *call.node), 1e30});
    }
    for (int step = 0; step < steps; ++step) {
      write_inputs(executor_);
      for (size_t i = 0; i < calls_.size(); ++i) {
        const auto start = std::chrono::steady_clock::now();
        const Call& call = calls_[i];
        call.node->op->forward(*call.node,
                               KernelArgs(tt_best_kernels(), call.in, call.out, call.scratch));
        samples[i].seconds = std::min(samples[i].seconds, seconds_since(start));
      }
    }
    return samples;
  }

 private:
  struct Call {
    const Node* node;
    std::vector<Operand> in, out;
    std::byte* scratch = nullptr;
  };

  void* address(ValueId id) const {
    const Buffers& buffers = program_.buffers;
    const Value& root = program_.graph.value(buffers.root[index(id)]);
    const size_t offset = buffers.offset[index(id)];
    if (is_persistent(root.role)) return root.data->bytes().data() + offset;
    const auto buffer = buffers.of_value[index(id)];
    return buffer.has_value() ? in_arena(*buffer) + offset : nullptr;
  }
  std::byte* in_arena(size_t buffer) const {
    return executor_.arena().data() + program_.plan.offsets[buffer];
  }

  void add(NodeId id) {
    const Graph& graph = program_.graph;
    const Node& node = graph.node(id);
    Call call{.node = &node, .in = {}, .out = {}};
    for (const ValueId v : node.inputs) call.in.push_back({&graph.value(v).type, address(v)});
    for (const ValueId v : node.outputs) call.out.push_back({&graph.value(v).type, address(v)});
    const auto scratch = program_.buffers.of_scratch[index(id)];
    if (scratch.has_value()) call.scratch = in_arena(*scratch);
    calls_.push_back(std::move(call));
  }

  const Program& program_;
  const Executor& executor_;
  std::vector<Call> calls_;
};

// Of this thread alone: a whole step seldom gets through without being interrupted.
double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double measure_step(Executor& executor, int steps) {
  double least = 1e30;
  for (int step = 0; step < steps; ++step) {
    write_inputs(executor);
    const double start = processor_seconds();
    executor.step();
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
  Executor executor(training_graph(model, update, batch).graph);
  const double first = measure_step(executor, 1);
  const int steps = std::clamp(static_cast<int>(2.0 / first), 7, 100);
  const double step = measure_step(executor, steps);
  std::vector<Sample> samples = Stepper(executor).measure(steps);
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

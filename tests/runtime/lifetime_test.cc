// Sharing memory changes no bit: every program is run with all values apart, in an arena whose dead
// bytes turn to NaN after every node, and by the executor.

#include <gtest/gtest.h>

#include <cmath>

#include "engine/runtime/executor.h"
#include "optim/optimizer.h"
#include "tests/graph/support.h"
#include "tests/runtime/interpreter.h"

namespace tinytl {
namespace {

constexpr int kSteps = 3;

// The graph with parameters of its own and all state in place.
Graph own(const Graph& graph) {
  Graph result = with_own_tensors(graph);
  for (size_t v = 0; v < result.values().size(); ++v) {
    Value& value = result.value(ValueId(v));
    if (value.role == Role::kState) value.data = std::make_shared<Tensor>(value.type);
  }
  return result;
}

// What a few steps leave: the outputs of each, and all parameters and state at the end.
std::vector<Bytes> interpreted(const Graph& graph, const tt_kernels& kernels, Memory memory,
                               ScheduleOptions options, int classes) {
  options.share = memory == Memory::kPoisoned;
  const Program program = compile(own(graph), kernels, options);
  std::vector<Bytes> trace;
  for (uint32_t step = 0; step < kSteps; ++step) {
    const Inputs inputs = random_inputs(graph, classes, step);
    for (Bytes& output : interpret(program, kernels, memory, inputs)) {
      trace.push_back(std::move(output));
    }
  }
  for (Bytes& bytes : persistent_values(program.graph)) trace.push_back(std::move(bytes));
  return trace;
}

std::byte* bytes_of(const Executor& executor, ValueId id) {
  return executor.graph().value(id).type.dtype == DType::kI32
             ? reinterpret_cast<std::byte*>(executor.i32(id).data())
             : reinterpret_cast<std::byte*>(executor.f32(id).data());
}

std::vector<Bytes> executed(const Graph& graph, const tt_kernels& kernels,
                            const ScheduleOptions& options, int classes) {
  Program program = compile(own(graph), kernels, options);
  auto arena = std::make_shared<Arena>(program.plan.arena_bytes + 4096);
  Executor executor(std::move(program), {.kernels = &kernels, .arena = arena});
  std::vector<Bytes> trace;
  for (uint32_t step = 0; step < kSteps; ++step) {
    std::memset(arena->data(), 0xff, arena->bytes());
    for (const auto& [id, bytes] : random_inputs(graph, classes, step)) {
      std::byte* p = bytes_of(executor, id);
      if (p != nullptr) std::memcpy(p, bytes.data(), bytes.size());
    }
    executor.step();
    for (const ValueId id : graph.outputs) {
      const std::byte* p = bytes_of(executor, id);
      trace.emplace_back(p, p + graph.value(id).type.bytes());
    }
  }
  for (Bytes& bytes : persistent_values(executor.graph())) trace.push_back(std::move(bytes));
  return trace;
}

// Comparing bits means little once everything is NaN.
bool is_finite(const Bytes& bytes) {
  float value = 0;
  std::memcpy(&value, bytes.data(), sizeof value);
  return std::isfinite(value);
}

void expect_sharing_changes_no_bit(const Graph& graph, int classes) {
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    for (const bool updates_last : {false, true}) {
      SCOPED_TRACE(std::string(kernels->name) + (updates_last ? ", updates last" : ""));
      const ScheduleOptions options{.updates_last = updates_last};
      const auto want = interpreted(graph, *kernels, Memory::kUnshared, options, classes);
      EXPECT_TRUE(is_finite(want[0]) && is_finite(want.back()));
      EXPECT_TRUE(interpreted(graph, *kernels, Memory::kPoisoned, options, classes) == want);
      EXPECT_TRUE(executed(graph, *kernels, options, classes) == want);
    }
  }
}

UpdateScheme every(const Graph& graph, auto&& wanted) {
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(graph)) {
    if (wanted(graph.value(id).role)) scheme.parameters.push_back({id});
  }
  return scheme;
}

TEST(Lifetimes, OfRandomTrainingGraphsAreLongEnough) {
  std::mt19937 rng(2);
  using Kind = OptimizerOptions::Kind;
  for (int trial = 0; trial < 60; ++trial) {
    SCOPED_TRACE(trial);
    const Graph model = random_network(rng);
    const Loss loss{.kind = trial % 2 == 0 ? Loss::Kind::kSoftmaxCrossEntropy
                                           : Loss::Kind::kMeanSquaredError};
    const auto scheme = every(model, [&](Role) { return rng() % 3 != 0; });
    if (scheme.parameters.empty()) continue;
    const OptimizerOptions options{.kind = trial % 3 == 0 ? Kind::kAdam : Kind::kSgd,
                                   .clip_norm = trial % 5 == 0 ? 1.0f : 0.0f};
    const Graph graph = append_updates(differentiate(model, loss, scheme), options).graph;
    expect_sharing_changes_no_bit(graph, /*classes=*/6);
  }
}

TEST(Lifetimes, OfAConvolutionalNetworkAreLongEnough) {
  const Graph model = small_cnn(2);
  for (const bool weights : {false, true}) {
    SCOPED_TRACE(weights);
    const auto scheme = every(model, [&](Role role) { return weights || role == Role::kBias; });
    const Graph graph = append_updates(differentiate(model, {}, scheme), {}).graph;
    expect_sharing_changes_no_bit(graph, /*classes=*/5);
  }
}

TEST(Lifetimes, OfInferenceAreLongEnough) {
  expect_sharing_changes_no_bit(small_cnn(3), /*classes=*/5);
}

// The test itself: a lifetime one step too short must show.
TEST(Lifetimes, AShortLifetimeIsFound) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer ends the program at the first";
#endif
  const Graph model = small_cnn(1);
  Program program = compile(own(model), tt_portable_kernels);
  const Inputs inputs = random_inputs(model, 5, 1);
  const Program plain = compile(own(model), tt_portable_kernels, {.share = false});
  const auto want = interpret(plain, tt_portable_kernels, Memory::kUnshared, inputs);
  size_t found = 0, shortened = 0;
  for (Lifetime& t : program.buffers.lifetimes) {
    if (t.last == t.first) continue;
    --t.last;
    const auto got = interpret(program, tt_portable_kernels, Memory::kPoisoned, inputs);
    found += got != want;
    ++t.last;
    ++shortened;
  }
  // Except the output's: nothing runs after it.
  EXPECT_GE(found + 1, shortened);
  EXPECT_GT(found, 5u);
}

}  // namespace
}  // namespace tinytl

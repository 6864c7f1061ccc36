// Threads: every part runs once, nothing is allocated, and the plan counts each part's scratch.

#include "engine/runtime/thread_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <thread>

#include "engine/graph/error.h"
#include "engine/runtime/executor.h"
#include "engine/schedule/order_model.h"
#include "engine/schedule/parts.h"
#include "optim/optimizer.h"
#include "tests/graph/support.h"
#include "tinytl/train/process_memory.h"

namespace tinytl {
namespace {

std::shared_ptr<ThreadPool> pool_of(int count) {
  try {
    return std::make_shared<ThreadPool>(count);
  } catch (const InputError&) {
    return nullptr;
  }
}
const bool kHasThreads = pool_of(2) != nullptr;
#define NEEDS_THREADS() \
  if (!kHasThreads) GTEST_SKIP() << "this build has no pthreadpool"

// Large enough for its layers to be worth dividing.
TrainingGraph training_graph(int64_t batch = 32) {
  const Graph model = with_own_tensors(small_cnn(batch));
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(model)) scheme.parameters.push_back({id});
  return append_updates(differentiate(model, {}, scheme), {.clip_norm = 1.0f});
}

void write_inputs(const Executor& executor, const TrainingGraph& t) {
  const ValueId x = t.graph.inputs[0];
  const auto values = random_tensor(t.graph.value(x).type.shape, 7);
  std::ranges::copy(values->f32(), executor.f32(x).begin());
  const auto labels = executor.i32(t.target);
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int32_t>(i % 5);
  for (const auto& [group, id] : t.learning_rate) executor.f32(id)[0] = 0.01f;
  if (t.adam_correction.has_value()) {
    executor.f32(*t.adam_correction)[0] = 0.1f;
    executor.f32(*t.adam_correction)[1] = 0.001f;
  }
}

int divided(const Graph& graph, int threads) {
  return static_cast<int>(std::ranges::count_if(
      graph.nodes(), [&](const Node& node) { return parts_of(graph, node, threads) > 1; }));
}

std::vector<float> weights_after(int steps, int threads, bool with_pool) {
  const TrainingGraph t = training_graph();
  ExecutorOptions options;
  if (with_pool) options.threads = pool_of(threads);
  Executor executor(compile(t.graph, *tt_best_kernels(), {.threads = threads}), options);
  for (int i = 0; i < steps; ++i) {
    write_inputs(executor, t);
    executor.step();
  }
  std::vector<float> result;
  for (const ParameterGradient& p : t.trained) {
    const auto values = executor.f32(p.parameter);
    result.insert(result.end(), values.begin(), values.end());
  }
  return result;
}

TEST(ThreadPool, RunsEveryPartOnce) {
  for (const int threads : {1, 2, 3, 4}) {
    const auto pool = pool_of(threads);
    if (pool == nullptr) continue;
    EXPECT_EQ(pool->count(), threads);
    for (const int parts : {1, 2, 3, 17}) {
      std::array<std::atomic<int>, 17> calls{};
      const auto count = [](const void* context, int part) {
        auto& all = *static_cast<std::array<std::atomic<int>, 17>*>(const_cast<void*>(context));
        ++all[static_cast<size_t>(part)];
      };
      for (int i = 0; i < 100; ++i) pool->run(parts, count, &calls);
      for (int part = 0; part < 17; ++part) {
        EXPECT_EQ(calls[static_cast<size_t>(part)], part < parts ? 100 : 0);
      }
    }
  }
}

TEST(ThreadPool, OfOneMakesNoThread) {
  ThreadPool pool(1);
  EXPECT_EQ(pool.handle(), nullptr);
  const std::thread::id self = std::this_thread::get_id();
  pool.run(
      5,
      [](const void* id, int) {
        EXPECT_EQ(*static_cast<const std::thread::id*>(id), std::this_thread::get_id());
      },
      &self);
}

TEST(ThreadPool, WithoutALibraryMoreThanOneIsAnError) {
  if (kHasThreads) GTEST_SKIP() << "this build has pthreadpool";
  try {
    ThreadPool pool(2);
    FAIL();
  } catch (const InputError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("libpthreadpool-dev"));
  }
}

TEST(Threads, DivideWhatIsWorthIt) {
  const Graph graph = training_graph().graph;
  EXPECT_EQ(divided(graph, 1), 0);
  EXPECT_GT(divided(graph, 2), 3);
  EXPECT_EQ(divided(graph, 2), divided(graph, 4));
  EXPECT_LT(divided(graph, 2), static_cast<int>(graph.nodes().size()));
}

TEST(Threads, ChangeNoBit) {
  NEEDS_THREADS();
  const std::vector<float> one = weights_after(4, 1, false);
  ASSERT_TRUE(std::ranges::all_of(one, [](float w) { return std::isfinite(w); }));
  for (const int threads : {2, 3, 4}) {
    EXPECT_EQ(weights_after(4, threads, true), one) << threads;
    EXPECT_EQ(weights_after(4, threads, false), one) << threads << " parts in one thread";
  }
}

TEST(Threads, AStepAllocatesNothing) {
  NEEDS_THREADS();
  const TrainingGraph t = training_graph();
  Executor executor(t.graph, {.kernels = nullptr, .arena = nullptr, .threads = pool_of(2)});
  for (int i = 0; i < 3; ++i) {
    write_inputs(executor, t);
    const uint64_t before = allocations_of_this_thread();
    executor.step();
    EXPECT_EQ(allocations_of_this_thread(), before);
  }
}

TEST(Threads, StepsMayBeTimed) {
  NEEDS_THREADS();
  const TrainingGraph t = training_graph();
  Executor executor(t.graph, {.kernels = nullptr, .arena = nullptr, .threads = pool_of(2)});
  write_inputs(executor, t);
  std::vector<double> seconds(executor.instruction_nodes().size());
  executor.step_timed(true, seconds);
  EXPECT_TRUE(std::ranges::all_of(seconds, [](double s) { return s > 0; }));
}

TEST(Threads, HaveScratchOfTheirOwnInThePlan) {
  const TrainingGraph t = training_graph();
  const Graph& graph = t.graph;
  for (const int threads : {1, 2, 3}) {
    const Schedule order = schedule(graph, {.threads = threads}, &tt_portable_kernels);
    const Buffers buffers = assign_buffers(graph, order, tt_portable_kernels);
    for (size_t n = 0; n < graph.nodes().size(); ++n) {
      const Node& node = graph.nodes()[n];
      const auto scratch = buffers.of_scratch[n];
      const int parts = parts_of(graph, node, threads);
      if (!scratch.has_value() || parts == 1) continue;
      EXPECT_EQ(buffers.lifetimes[*scratch].bytes % (64 * static_cast<size_t>(parts)), 0u);
    }
    std::vector<uint32_t> nodes;
    for (const NodeId id : order.order) nodes.push_back(static_cast<uint32_t>(index(id)));
    const OrderModel model(graph, tt_portable_kernels, threads);
    EXPECT_EQ(profile_of(model, nodes), live_bytes_by_step(buffers.lifetimes, 64, nodes.size()));
  }
}

TEST(Threads, ScratchIsAStrideForEachPart) {
  EXPECT_EQ(scratch_stride(0), 0u);
  EXPECT_EQ(scratch_stride(1), 64u);
  EXPECT_EQ(scratch_stride(64), 64u);
  const Graph graph = training_graph().graph;
  for (const Node& node : graph.nodes()) {
    const std::vector<TensorType> types = types_of(graph, node.inputs);
    const size_t one = scratch_bytes(node, types, tt_portable_kernels, 1);
    EXPECT_EQ(scratch_bytes(node, types, tt_portable_kernels, 3), 3 * scratch_stride(one));
  }
}

}  // namespace
}  // namespace tinytl

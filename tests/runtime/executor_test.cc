// What the executor promises: no allocation, the same bits, shared parameters, the planned bytes.

#include "engine/runtime/executor.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "optim/optimizer.h"
#include "tests/graph/support.h"
#include "tinytl/train/process_memory.h"

namespace tinytl {
namespace {

TrainingGraph training_graph(const Graph& model, const OptimizerOptions& options = {}) {
  UpdateScheme scheme;
  for (const ValueId id : parameters_of(model)) scheme.parameters.push_back({id});
  return append_updates(differentiate(model, {}, scheme), options);
}

void write_inputs(const Executor& executor, const TrainingGraph& t, float rate = 0.01f) {
  const ValueId x = t.graph.inputs[0];
  const auto values = random_tensor(t.graph.value(x).type.shape, 7);
  std::copy(values->f32().begin(), values->f32().end(), executor.f32(x).begin());
  const auto labels = executor.i32(t.target);
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int32_t>(i % 5);
  for (const auto& [group, id] : t.learning_rate) executor.f32(id)[0] = rate;
  if (t.adam_correction.has_value()) {
    executor.f32(*t.adam_correction)[0] = 0.1f;
    executor.f32(*t.adam_correction)[1] = 0.001f;
  }
}

std::vector<float> weights_after(const tt_kernels& kernels, int steps) {
  const TrainingGraph t = training_graph(with_own_tensors(small_cnn(4)));
  Executor executor(t.graph, {.kernels = &kernels, .arena = nullptr});
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

TEST(Executor, AStepAllocatesNothing) {
  const uint64_t start = allocations_of_this_thread();
  free(malloc(100000));
  std::vector<int> seen(1000);
  if (allocations_of_this_thread() == start) GTEST_SKIP() << "a sanitizer owns malloc here";
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    const TrainingGraph t = training_graph(small_cnn(4), {.clip_norm = 1.0f});
    Executor executor(t.graph, {.kernels = kernels, .arena = nullptr});
    write_inputs(executor, t);
    const uint64_t before = allocations_of_this_thread();
    executor.step();
    EXPECT_EQ(allocations_of_this_thread(), before) << kernels->name;
  }
}

TEST(Executor, TwoRunsEndInTheSameBits) {
  for (const tt_kernels* kernels : {&tt_portable_kernels, tt_best_kernels()}) {
    EXPECT_EQ(weights_after(*kernels, 5), weights_after(*kernels, 5)) << kernels->name;
  }
}

TEST(Executor, TrainingLowersTheLoss) {
  const TrainingGraph t = training_graph(small_cnn(4));
  Executor executor(t.graph);
  float first = 0, last = 0;
  for (int i = 0; i < 50; ++i) {
    write_inputs(executor, t);
    executor.step();
    last = executor.f32(t.loss)[0];
    if (i == 0) first = last;
  }
  EXPECT_LT(last, 0.5f * first);
}

TEST(Executor, TwoExecutorsMayShareAnArenaAndTheParameters) {
  const Graph model = small_cnn(4);
  const TrainingGraph t = training_graph(model);
  Program training = compile(t.graph, *tt_best_kernels());
  Program inference = compile(model, *tt_best_kernels());
  const auto arena =
      std::make_shared<Arena>(std::max(training.plan.arena_bytes, inference.plan.arena_bytes));
  Executor train(std::move(training), {.kernels = nullptr, .arena = arena});
  Executor infer(std::move(inference), {.kernels = nullptr, .arena = arena});
  Executor alone(model);
  const auto logits = [&](Executor& executor) {
    const auto x = random_tensor({4, 8, 8, 3}, 3);
    std::copy(x->f32().begin(), x->f32().end(), executor.f32(model.inputs[0]).begin());
    executor.step();
    const auto y = executor.f32(model.outputs[0]);
    return std::vector<float>(y.begin(), y.end());
  };
  const std::vector<float> before = logits(infer);
  for (int i = 0; i < 3; ++i) {
    write_inputs(train, t);
    train.step();
    EXPECT_EQ(logits(infer), logits(alone));
  }
  EXPECT_NE(logits(infer), before);
}

TEST(Executor, TouchesExactlyThePlannedPages) {
  for (const int64_t batch : {1, 8, 64}) {
    const TrainingGraph t = training_graph(small_cnn(batch));
    Executor executor(t.graph);
    EXPECT_EQ(executor.arena().touched_bytes(), 0u);
    write_inputs(executor, t);
    executor.step();
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t planned = executor.program().plan.arena_bytes;
    EXPECT_EQ(executor.arena().touched_bytes(), (planned + page - 1) / page * page);
  }
}

TEST(Executor, RunsTheSameWithoutItsProgram) {
  const Graph model = small_cnn(4);
  const auto loss_after_steps = [&](bool forget) {
    const TrainingGraph t = training_graph(with_own_tensors(model));
    Executor executor(t.graph);
    if (forget) executor.forget_program();
    for (int i = 0; i < 3; ++i) {
      write_inputs(executor, t);
      executor.step();
    }
    return executor.f32(t.loss)[0];
  };
  EXPECT_EQ(loss_after_steps(true), loss_after_steps(false));
}

TEST(Executor, WithoutUpdatesAStepChangesNoParameter) {
  const TrainingGraph t = training_graph(small_cnn(2), {.accumulation_steps = 2});
  Executor executor(compile(t.graph, *tt_best_kernels(), {.updates_last = true}));
  const auto bias = executor.f32(t.trained[0].parameter);
  const std::vector<float> before(bias.begin(), bias.end());
  write_inputs(executor, t);
  executor.step(/*apply_updates=*/false);
  EXPECT_TRUE(std::equal(bias.begin(), bias.end(), before.begin()));
  write_inputs(executor, t);
  executor.step();
  EXPECT_FALSE(std::equal(bias.begin(), bias.end(), before.begin()));
}

TEST(Executor, RunsOnAfterItWasMoved) {
  const Graph model = mlp(1, 2, {3});
  auto first = std::make_unique<Executor>(model);
  first->f32(model.inputs[0])[0] = 0.5f;
  first->f32(model.inputs[0])[1] = -0.5f;
  first->step();
  const float want = first->f32(model.outputs[0])[0];
  Executor second(std::move(*first));
  first.reset();
  second.f32(model.inputs[0])[0] = 0.5f;
  second.f32(model.inputs[0])[1] = -0.5f;
  second.step();
  EXPECT_EQ(second.f32(model.outputs[0])[0], want);
  static_assert(!std::is_copy_constructible_v<Executor>);
}

TEST(Executor, AnInputNobodyReadsHasNoBytes) {
  Graph model = mlp(1, 2, {3});
  const ValueId unread = model.add_input("unread", {DType::kF32, {4}});
  EXPECT_TRUE(Executor(model).f32(unread).empty());
}

TEST(Executor, RunsAGraphWithoutNodes) {
  Graph g;
  g.outputs = {g.add_input("x", {DType::kF32, {2}})};
  Executor executor(g);
  executor.f32(g.inputs[0])[1] = 3.0f;
  executor.step();
  EXPECT_EQ(executor.f32(g.outputs[0])[1], 3.0f);
}

TEST(PersistentBytes, AreSortedByRole) {
  const TrainingGraph t = training_graph(mlp(2, 3, {4}), {.kind = OptimizerOptions::Kind::kAdam});
  const PersistentBytes bytes = persistent_bytes(t.graph);
  constexpr size_t kTrained = 4 * (3 * 4 + 4);
  EXPECT_EQ(bytes.state, 2 * kTrained);
  EXPECT_EQ(bytes.parameters, kTrained + 2 * sizeof(float));  // and the constants 1
}

TEST(Arena, CountsTouchedPages) {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const Arena arena(10 * page + 1);
  EXPECT_EQ(arena.bytes(), 10 * page + 1);
  EXPECT_EQ(arena.touched_bytes(), 0u);
  arena.data()[0] = std::byte{1};
  arena.data()[5 * page] = std::byte{1};
  EXPECT_EQ(arena.touched_bytes(), 2 * page);
}

TEST(Arena, MayBeEmpty) { EXPECT_EQ(Arena(0).touched_bytes(), 0u); }

}  // namespace
}  // namespace tinytl

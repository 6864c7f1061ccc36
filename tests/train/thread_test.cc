// Threads: the same bits for any number of them, whatever is trained.

#include <gmock/gmock.h>

#include <cstdlib>
#include <map>

#include "engine/schedule/parts.h"
#include "tests/train/support.h"
#include "tinytl/train/process_memory.h"

namespace tinytl {
namespace {

namespace fs = std::filesystem;

bool has_threads() {
  try {
    ThreadPool pool(2);
    return true;
  } catch (const InputError&) {
    return false;
  }
}

// Trains some steps; all that was trained, and the scores of a batch afterwards.
std::string trained_with(int threads, Recipe recipe, const Dataset& data, int64_t steps) {
  recipe.threads = threads;
  Prepared prepared = prepare(recipe);
  const TrainingResult result = train(prepared, data, nullptr, {.epochs = 1, .max_steps = steps});
  EXPECT_EQ(result.allocations_in_step, 0u);
  Loader loader(data, loader_for(prepared.session->input_type(), /*training=*/false));
  const Evaluation evaluation = prepared.session->inference().evaluate(loader, {});
  return bytes_of(prepared.session->trained()) + bytes_of(prepared.session->state()) +
         std::to_string(evaluation.loss_sum) + " " + std::to_string(evaluation.top1);
}

void expect_same_bits(const Recipe& recipe, const Dataset& data, int64_t steps,
                      std::initializer_list<int> threads) {
  const std::string one = trained_with(1, recipe, data, steps);
  for (const int n : threads) {
    EXPECT_TRUE(trained_with(n, recipe, data, steps) == one)
        << recipe.network << ", " << name_of(recipe.update) << ", " << n << " threads";
  }
}

TEST(Threads, GoldenNetworksKeepTheirBits) {
  if (!has_threads()) GTEST_SKIP() << "this build has no pthreadpool";
  const ColourDataset data(16, 1);
  for (const char* network : {"mobilenet_small.onnx", "resnet_small.onnx"}) {
    for (const Update update : {Update::kBias, Update::kFull}) {
      Recipe recipe{.update = update, .dropout = 0.2f, .batch = 16};
      recipe.network = network;
      expect_same_bits(recipe, data, 3, {2, 3, 4});
      recipe.micro_batch = 8;
      expect_same_bits(recipe, data, 2, {2});
    }
  }
}

TEST(Threads, RealNetworksKeepTheirBits) {
  const char* root = std::getenv("TINYTL_DATA");
  if (root == nullptr) GTEST_SKIP() << "TINYTL_DATA is not set";
  if (!has_threads()) GTEST_SKIP() << "this build has no pthreadpool";
  const ColourDataset data(8, 1);
  for (const Update update : {Update::kBias, Update::kFull}) {
    Recipe recipe{.update = update, .batch = 4};
    recipe.network = fs::path(root) / "models" / "mbv2-w0.35_imagenet128_fp32.onnx";
    expect_same_bits(recipe, data, 4, {2, 3});
    recipe.micro_batch = 1;
    expect_same_bits(recipe, data, 2, {2});
  }
}

TEST(Threads, TakeMoreScratchAndNothingElse) {
  if (!has_threads()) GTEST_SKIP() << "this build has no pthreadpool";
  std::map<int, MemoryReport> memory;
  for (const int threads : {1, 2, 4}) {
    const Prepared prepared = prepare({.update = Update::kFull, .batch = 16, .threads = threads});
    memory[threads] = prepared.session->memory();
    EXPECT_EQ(memory[threads].frozen, memory[1].frozen);
    EXPECT_EQ(memory[threads].optimizer, memory[1].optimizer);
  }
  EXPECT_LE(memory[1].lower_bound, memory[2].lower_bound);
  EXPECT_LE(memory[2].lower_bound, memory[4].lower_bound);
}

}  // namespace
}  // namespace tinytl

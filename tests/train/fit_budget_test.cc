// Budgets are met, by what is said to meet them; the smallest budget is really the smallest.

#include "tinytl/train/fit_budget.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "engine/onnx/import.h"
#include "engine/schedule/recompute.h"
#include "tests/graph/support.h"
#include "tinytl/data/random.h"
#include "tinytl/methods/classifier.h"
#include "tinytl/methods/update.h"
#include "tinytl/train/pieces.h"
#include "tinytl/train/session.h"

namespace tinytl {
namespace {

constexpr int64_t kBatch = 4;
const std::vector<int64_t> kSizes{4, 2, 1};

struct Recipe {
  std::string name;
  std::function<Graph(int64_t batch)> network;
  Update update = Update::kBias;
  OptimizerOptions optimizer = {};
  float dropout = 0;
  Loss loss = {};
};

class Source : public StepSource {
 public:
  explicit Source(const Recipe& recipe) : recipe_(recipe) {}

  const Graph& network(int64_t micro_batch) override {
    if (micro_batch != micro_batch_) fitted_ = keep_classifier(recipe_.network(micro_batch), "");
    micro_batch_ = micro_batch;
    return fitted_.graph;
  }

  StepGraphs build(int64_t micro_batch, std::span<const Tiling> tilings) override {
    network(micro_batch);
    FittedClassifier in_pieces = fitted_;
    std::vector<ValueId> ids;
    in_pieces.graph = tile(fitted_.graph, tilings, &ids);
    for (ValueId& id : in_pieces.parameters) id = ids[index(id)];
    const FittedClassifier form =
        recipe_.dropout > 0 ? with_dropout(in_pieces, recipe_.dropout) : in_pieces;
    OptimizerOptions optimizer = recipe_.optimizer;
    optimizer.accumulation_steps *= static_cast<int>(kBatch / micro_batch);
    const UpdateScheme scheme = make_scheme(form.graph, recipe_.update, form.parameters);
    return {.training = append_updates(differentiate(form.graph, recipe_.loss, scheme), optimizer),
            .inference = std::move(in_pieces.graph),
            .loss = recipe_.loss.kind};
  }

 private:
  const Recipe& recipe_;
  FittedClassifier fitted_;
  int64_t micro_batch_ = 0;
};

Session session_of(const Recipe& recipe, const Levers& levers) {
  Source source(recipe);
  StepGraphs graphs = source.build(levers.micro_batch, levers.tilings);
  apply_recomputation(graphs.training, levers.recomputed);
  return Session(std::move(graphs.training), std::move(graphs.inference), recipe.loss,
                 {.micro_batches = kBatch / levers.micro_batch});
}

BudgetChoice fit(const Recipe& recipe, const Budget& budget, std::span<const int64_t> sizes) {
  Source source(recipe);
  return fit_budget(source, budget, kBatch, sizes);
}

Recipe golden(const std::string& file, Update update) {
  const std::string path = std::string(TINYTL_GOLDEN) + "/" + file + ".onnx";
  return {.name = file + " " + std::string(name_of(update)),
          .network = [path](int64_t batch) { return import_onnx(path, {.batch = batch}); },
          .update = update};
}

// Convolutions with pieces to be cut into, of random sizes.
Recipe random_cnn(uint32_t seed) {
  const auto network = [seed](int64_t batch) {
    std::mt19937 rng(seed);
    Graph g;
    const int64_t side = 8 + 2 * int64_t(rng() % 5);
    ValueId x = g.add_input("x", {DType::kF32, {batch, side, side, 3}});
    const size_t blocks = 1 + rng() % 3;
    for (size_t i = 0; i < blocks; ++i) {
      const std::string name = std::to_string(i);
      const int64_t wide = 16 + 8 * int64_t(rng() % 5), narrow = 4 + 4 * int64_t(rng() % 3);
      x = relu6(g, name + ".a", convolution(g, name + ".expand", x, wide, rng() % 2 ? 1 : 3));
      x = convolution(g, name + ".project", x, narrow, 1);
      if (rng() % 2) x = relu6(g, name + ".b", convolution(g, name + ".mix", x, narrow, 3));
    }
    x = emit(g, kReduceMean, "pool", {x},
             {{"axes", std::vector<int64_t>{1, 2}}, {"keepdims", int64_t{0}}});
    g.outputs = {linear(g, "fc", x, 3)};
    return g;
  };
  return {.name = "random " + std::to_string(seed),
          .network = network,
          .update = seed % 2 == 0 ? Update::kFull : Update::kBias};
}

std::vector<Recipe> recipes() {
  std::vector<Recipe> all;
  for (const char* file : {"mobilenet_small", "resnet_small", "transformer_small"}) {
    for (const Update update : {Update::kBias, Update::kFull}) {
      all.push_back(golden(file, update));
    }
  }
  all.push_back(golden("mobilenet_small", Update::kLast));
  for (uint32_t seed = 0; seed < 4; ++seed) all.push_back(random_cnn(seed));
  Recipe dropout = golden("mobilenet_small", Update::kFull);
  dropout.name += ", dropout";
  dropout.dropout = 0.3f;
  all.push_back(dropout);
  Recipe accumulating = golden("mobilenet_small", Update::kFull);
  accumulating.name += ", accumulated";
  accumulating.optimizer = {.kind = OptimizerOptions::Kind::kSgd, .accumulation_steps = 3};
  all.push_back(accumulating);
  all.push_back({.name = "autoencoder",
                 .network =
                     [](int64_t n) {
                       return mlp(n, 64, {48, 32, 8, 32, 48, 64});
                     },
                 .update = Update::kFull,
                 .loss = {.kind = Loss::Kind::kMeanSquaredError}});
#ifdef __SANITIZE_ADDRESS__  // ten times slower, and the same decisions
  std::erase_if(all, [](const Recipe& r) {
    return r.name != "mobilenet_small bias" && r.name != "random 1" && r.name != "autoencoder";
  });
#endif
  return all;
}

// Of one update on the same numbers.
double loss_of_a_batch(Session& session) {
  Batch batch;
  batch.count = static_cast<int>(session.micro_batch_size());
  const int64_t values = session.input_type().elements() / batch.count;
  batch.size = {1, 1, static_cast<int>(values)};
  Random random(1, 0, 0);
  double loss = 0;
  for (int64_t part = 0; part < session.micro_batches(); ++part) {
    batch.floats.clear();
    batch.labels.clear();
    for (int64_t i = 0; i < batch.count * values; ++i) {
      batch.floats.push_back(static_cast<float>(random.uniform(-1, 1)));
    }
    for (int n = 0; n < batch.count; ++n) batch.labels.push_back((part * batch.count + n) % 3 == 0);
    session.load(batch, {});
    loss += session.run({}, /*dropout_seed=*/1, part).loss;
  }
  return loss / static_cast<double>(session.micro_batches());
}

void expect_same(const Levers& a, const Levers& b) {
  EXPECT_EQ(a.micro_batch, b.micro_batch);
  EXPECT_EQ(a.recomputed, b.recomputed);
  ASSERT_EQ(a.tilings.size(), b.tilings.size());
  for (size_t i = 0; i < a.tilings.size(); ++i) {
    EXPECT_EQ(a.tilings[i].region.nodes, b.tilings[i].region.nodes);
    EXPECT_EQ(a.tilings[i].pieces, b.tilings[i].pieces);
  }
}

TEST(FitBudget, WithoutABudgetNoLeverIsPulled) {
  for (const Recipe& recipe : recipes()) {
    SCOPED_TRACE(recipe.name);
    const BudgetChoice choice = fit(recipe, {}, {{kBatch}});
    EXPECT_TRUE(choice.fits);
    expect_same(choice.levers, {.micro_batch = kBatch});
    ASSERT_EQ(choice.steps.size(), 1u);
    const Session session = session_of(recipe, choice.levers);
    EXPECT_EQ(choice.steps[0].arena_bytes, session.memory().arena);
    EXPECT_EQ(choice.steps[0].training_memory_bytes, session.memory().training_memory());
    // The samples that run at once are a matter of speed too; pieces and recomputation are not.
    const BudgetChoice fastest = fit(recipe, {}, kSizes);
    expect_same(fastest.levers, {.micro_batch = fastest.levers.micro_batch});
    EXPECT_LE(fastest.steps.back().seconds, choice.steps[0].seconds);
  }
}

TEST(FitBudget, EveryBudgetFromTheSmallestOnIsMet) {
  for (const Recipe& recipe : recipes()) {
    const size_t plain = fit(recipe, {}, {{kBatch}}).steps[0].training_memory_bytes;
    const size_t smallest =
        fit(recipe, {.training_memory = 1}, kSizes).steps.back().training_memory_bytes;
    double slowest = 1e9;
    std::optional<double> loss;
    constexpr size_t kBudgets = 4;
    for (size_t i = 0; i <= kBudgets; ++i) {
      const size_t budget = smallest + (plain - smallest) * i * i / (kBudgets * kBudgets);
      SCOPED_TRACE(recipe.name + " in " + std::to_string(budget));
      const BudgetChoice choice = fit(recipe, {.training_memory = budget}, kSizes);
      ASSERT_TRUE(choice.fits);
      if (i == 1) {
        expect_same(fit(recipe, {.training_memory = budget}, kSizes).levers, choice.levers);
      }
      Session session = session_of(recipe, choice.levers);
      EXPECT_LE(session.memory().training_memory(), budget);
      EXPECT_EQ(session.memory().training_memory(), choice.steps.back().training_memory_bytes);
      EXPECT_EQ(session.memory().arena, choice.steps.back().arena_bytes);
      EXPECT_LE(choice.steps.back().seconds, slowest * (1 + 1e-9)) << "slower than a smaller one";
      slowest = choice.steps.back().seconds;
      if (recipe.dropout == 0) {
        const double now = loss_of_a_batch(session);
        if (!loss.has_value()) loss = now;
        EXPECT_NEAR(now, *loss, 1e-5 * *loss);
      }
      const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
      EXPECT_LE(session.arena_touched_bytes(), (session.memory().arena + page - 1) / page * page);
    }
  }
}

TEST(FitBudget, TheSmallestIsTheSmallest) {
  for (const Recipe& recipe : recipes()) {
    for (const bool is_arena : {false, true}) {
      SCOPED_TRACE(recipe.name + (is_arena ? " arena" : " training memory"));
      const auto of = [&](size_t bytes) {
        return is_arena ? Budget{.arena = bytes} : Budget{.training_memory = bytes};
      };
      const auto size = [&](const BudgetChoice& choice) {
        const PlannedStep& last = choice.steps.back();
        return is_arena ? last.arena_bytes : last.training_memory_bytes;
      };
      const BudgetChoice impossible = fit(recipe, of(1), kSizes);
      ASSERT_FALSE(impossible.fits);
      const size_t smallest = size(impossible);
      const BudgetChoice possible = fit(recipe, of(smallest), kSizes);
      EXPECT_TRUE(possible.fits);
      EXPECT_LE(size(possible), smallest);
      const BudgetChoice refused = fit(recipe, of(smallest - 1), kSizes);
      EXPECT_FALSE(refused.fits);
      EXPECT_EQ(size(refused), smallest);
    }
  }
}

TEST(FitBudget, BothBudgetsAtOnce) {
  const Recipe recipe = golden("mobilenet_small", Update::kFull);
  const PlannedStep plain = fit(recipe, {}, {{kBatch}}).steps[0];
  const Budget budget{.training_memory = plain.training_memory_bytes - plain.arena_bytes / 2,
                      .arena = plain.arena_bytes / 3};
  const BudgetChoice choice = fit(recipe, budget, kSizes);
  ASSERT_TRUE(choice.fits);
  EXPECT_LE(choice.steps.back().arena_bytes, budget.arena);
  EXPECT_LE(choice.steps.back().training_memory_bytes, budget.training_memory);
  const BudgetChoice refused =
      fit(recipe, {.training_memory = budget.training_memory, .arena = 64}, kSizes);
  EXPECT_FALSE(refused.fits);
  const PlannedStep& last = refused.steps.back();
  EXPECT_LE(last.training_memory_bytes, budget.training_memory);
  EXPECT_TRUE(
      fit(recipe, {.training_memory = budget.training_memory, .arena = last.arena_bytes}, kSizes)
          .fits);
}

// What a network that mixes its samples is given.
TEST(FitBudget, OnlyTheSizesAllowedAreUsed) {
  const Recipe recipe = golden("mobilenet_small", Update::kFull);
  for (const int64_t size : {int64_t{4}, int64_t{2}}) {
    const std::vector<int64_t> one{size};
    const BudgetChoice impossible = fit(recipe, {.arena = 1}, one);
    const size_t smallest = impossible.steps.back().arena_bytes;
    for (const size_t budget : {size_t{1}, smallest, smallest + smallest / 5}) {
      const BudgetChoice choice = fit(recipe, {.arena = budget}, one);
      EXPECT_EQ(choice.fits, budget > 1);
      EXPECT_EQ(choice.levers.micro_batch, size);
      EXPECT_EQ(session_of(recipe, choice.levers).memory().arena, choice.steps.back().arena_bytes);
    }
  }
}

// Model files may name a tensor otherwise than the node that writes it.
TEST(Pieces, AreFoundByTheNamesOfNodesAndOfTensors) {
  Graph network = small_cnn(1);
  for (size_t v = 0; v < network.values().size(); ++v) {
    Value& value = network.value(ValueId(v));
    if (value.role == Role::kActivation) value.name = "tensor" + value.name;
  }
  const Pieces pieces(network);
  size_t found = 0;
  for (const Node& node : network.nodes()) {
    const auto region = pieces.region_for(node.name);
    const std::string& tensor = network.value(node.output()).name;
    EXPECT_EQ(pieces.region_for(tensor), region);
    EXPECT_EQ(pieces.region_for(tensor + " [channels 0:8]"), region);
    found += region.has_value();
  }
  EXPECT_GT(found, 5u);
}

TEST(FitBudget, SaysWhatEachLeverDid) {
  const Recipe recipe = golden("mobilenet_small", Update::kFull);
  const BudgetChoice choice = fit(recipe, {.arena = 1}, kSizes);
  ASSERT_GE(choice.steps.size(), 3u);
  EXPECT_EQ(choice.steps[0].what, "no lever");
  EXPECT_EQ(choice.steps[1].what, "micro-batches of 1");
  for (size_t i = 1; i < choice.steps.size(); ++i) {
    EXPECT_LT(choice.steps[i].arena_bytes, choice.steps[i - 1].arena_bytes) << choice.steps[i].what;
  }
}

}  // namespace
}  // namespace tinytl

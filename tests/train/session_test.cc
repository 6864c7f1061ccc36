// One training step: what it changes, what it leaves alone, what it allocates.

#include "tinytl/train/session.h"

#include <limits>

#include "engine/ops/op_table.h"
#include "tests/train/support.h"
#include "tinytl/train/process_memory.h"

namespace tinytl {
namespace {

// Every persistent tensor of the training graph that no update may touch.
std::vector<Value> frozen_values(const Session& session) {
  std::vector<Value> frozen;
  for (const Value& value : session.step_program().graph.values()) {
    if (!is_parameter(value.role) && value.role != Role::kConstant) continue;
    const std::vector<Value>& trained = session.trained();
    const bool learns =
        std::ranges::any_of(trained, [&](const Value& t) { return t.data == value.data; });
    if (!learns) frozen.push_back(value);
  }
  return frozen;
}

// The first batch of `data`, as evaluation sees it.
Batch batch_of(const Dataset& data, int64_t batch_size, const TensorType& input) {
  LoaderOptions options = loader_for(input, /*training=*/false);
  options.batch_size = static_cast<int>(batch_size);
  Loader loader(data, options);
  Batch batch;
  EXPECT_TRUE(loader.next(batch));
  return batch;
}

TEST(Session, FrozenWeightsStayToTheBit) {
  for (const Update update : {Update::kLast, Update::kBias}) {
    Prepared prepared = prepare({.update = update});
    const std::string network = fingerprint(prepared.imported);
    const std::vector<Value> frozen_tensors = frozen_values(*prepared.session);
    const std::string frozen = bytes_of(frozen_tensors);
    const std::string trained = bytes_of(prepared.session->trained());
    EXPECT_GT(frozen.size(), trained.size() / 2);
    train(prepared, ColourDataset(8, 1), nullptr, {.epochs = 2, .rates = {0.1, 0.1}});
    EXPECT_TRUE(bytes_of(frozen_tensors) == frozen);
    EXPECT_TRUE(bytes_of(prepared.session->trained()) != trained);
    for (const Value& value : prepared.session->trained()) {
      if (value.name == "classifier.weight") continue;
      EXPECT_EQ(value.role, Role::kBias) << value.name;
    }
    if (update == Update::kLast) {
      EXPECT_EQ(fingerprint(prepared.imported), network);
    }
  }
}

TEST(Session, FullTrainsEveryParameter) {
  const Prepared prepared = prepare({.update = Update::kFull});
  size_t constants = 0;
  for (const Value& value : prepared.session->step_program().graph.values()) {
    if (value.role == Role::kConstant) constants += value.type.bytes();
  }
  EXPECT_EQ(prepared.session->memory().frozen, constants);
}

TEST(Session, AStepAllocatesNothing) {
  const ColourDataset data(4, 1);
  for (const Recipe& recipe : {Recipe{}, Recipe{.update = Update::kFull, .dropout = 0.3f},
                               Recipe{.optimizer = {.clip_norm = 1.0f, .accumulation_steps = 2}}}) {
    Prepared prepared = prepare(recipe);
    const Batch batch = batch_of(data, recipe.batch, prepared.session->input_type());
    for (int step = 0; step < 4; ++step) {
      const uint64_t before = allocations_of_this_thread();
      prepared.session->train_step(batch, {}, {}, 1);
      EXPECT_EQ(allocations_of_this_thread() - before, 0u);
    }
    TrainingResult result = train(prepared, data, nullptr, {.epochs = 2});
    EXPECT_EQ(result.allocations_in_step, 0u);
  }
}

TEST(Session, AccumulationEqualsABiggerBatch) {
  const ColourDataset data(4, 1);
  const OptimizerOptions sgd{.kind = OptimizerOptions::Kind::kSgd, .momentum = 0.9f};
  OptimizerOptions accumulating = sgd;
  accumulating.accumulation_steps = 3;
  Prepared whole = prepare({.update = Update::kFull, .optimizer = sgd, .batch = 12});
  Prepared parts = prepare({.update = Update::kFull, .optimizer = accumulating, .batch = 4});
  const Batch all = batch_of(data, 12, whole.session->input_type());
  for (int update = 0; update < 3; ++update) {
    whole.session->train_step(all, {}, {0.1, 0.1}, 1);
    for (int part = 0; part < 3; ++part) {
      parts.session->train_step(part_of(all, 4 * part, 4), {}, {0.1, 0.1}, 1);
    }
  }
  EXPECT_EQ(whole.session->updates, 3);
  EXPECT_EQ(parts.session->updates, 3);
  const auto a = whole.session->trained(), b = parts.session->trained();
  ASSERT_EQ(a.size(), b.size());
  for (const Value& value : a) {
    const auto other = std::ranges::find(b, value.name, &Value::name);
    ASSERT_NE(other, b.end()) << value.name;
    EXPECT_THAT(std::vector<float>(other->data->f32().begin(), other->data->f32().end()),
                testing::Pointwise(testing::FloatNear(2e-5f), value.data->f32()))
        << value.name;
  }
}

TEST(Session, AutoencoderLowersItsLoss) {
  Prepared prepared = prepare_autoencoder(8);
  const PlaneDataset data(40);
  const TrainingResult result = train(prepared, data, &data, {.epochs = 30, .rates = {0.02, 0.02}});
  ASSERT_EQ(result.epochs.size(), 30u);
  EXPECT_LT(result.epochs.back().loss, 0.1 * result.epochs.front().loss);
  EXPECT_NEAR(result.epochs.back().val_loss, result.epochs.back().loss, 0.01);
  EXPECT_EQ(prepared.session->classes(), 0);
}

// Otherwise the input, as the target, would be written past the end of the output.
TEST(Session, MeanSquaredErrorNeedsAnOutputLikeTheInput) {
  const Graph network = golden_network(2);
  const Loss loss{.kind = Loss::Kind::kMeanSquaredError};
  const FittedClassifier kept = keep_classifier(network, "");
  GradientGraph gradients =
      differentiate(kept.graph, loss, make_scheme(kept.graph, Update::kBias, kept.parameters));
  TrainingGraph training = append_updates(std::move(gradients), {});
  EXPECT_THAT(error_of([&] { Session(std::move(training), kept.graph, loss); }),
              testing::HasSubstr("reproduces its input"));
}

TEST(Inference, EvaluationCountsEverySampleOnce) {
  Prepared prepared = prepare({.batch = 4});
  ColourDataset data(3, 1);  // 9 samples: two batches and one sample
  data.damaged = {5};
  Loader loader(data, loader_for(prepared.session->input_type(), /*training=*/false));
  const Evaluation result = prepared.session->inference().evaluate(loader, {});
  EXPECT_EQ(result.count, 8);
  EXPECT_EQ(result.class_count, (std::vector<int64_t>{3, 3, 2}));
  EXPECT_EQ(result.top5, 8) << "of three classes";
  EXPECT_EQ(loader.damaged().size(), 1u);
}

// A network whose layers mix the samples: f32[1,3] for a batch of 4.
Graph batch_mean() {
  Graph graph;
  graph.source = "mixer";
  const ValueId x = graph.add_input("x", {DType::kF32, {4, 3}});
  const ValueId mean = emit(graph, kReduceMean, "mean", {x},
                            {{"axes", std::vector<int64_t>{0}}, {"keepdims", int64_t{1}}});
  const ValueId bias = graph.add_persistent("bias", Role::kBias,
                                            std::make_shared<Tensor>(TensorType{DType::kF32, {3}}));
  graph.outputs = {emit(graph, kAdd, "add", {mean, bias})};
  return graph;
}

// Otherwise rows past the end of the output would be read.
TEST(Inference, NeedsARowForEverySample) {
  constexpr Loss::Kind kLoss = Loss::Kind::kSoftmaxCrossEntropy;
  const Graph network = batch_mean();
  EXPECT_THAT(
      error_of([&] { Inference(inference_program(network, kLoss, *tt_best_kernels()), kLoss); }),
      testing::HasSubstr("1 rows for a batch of 4"));
  EXPECT_THAT(
      error_of([&] { differentiate(network, {}, make_scheme(network, Update::kBias, {})); }),
      testing::AllOf(testing::HasSubstr("1 rows for a batch of 4"),
                     testing::HasSubstr("--head NAME")));
}

TEST(Inference, NeedsAMatrixOfScores) {
  constexpr Loss::Kind kLoss = Loss::Kind::kSoftmaxCrossEntropy;
  Graph network;
  network.source = "pixels";
  const ValueId x = network.add_input("x", {DType::kF32, {4, 2, 2, 3}});
  network.outputs = {emit(network, kTanh, "tanh", {x})};
  EXPECT_THAT(
      error_of([&] { Inference(inference_program(network, kLoss, *tt_best_kernels()), kLoss); }),
      testing::HasSubstr("not [batch, classes]"));
}

TEST(Inference, AScoreThatIsNoNumberIsNeverRight) {
  Prepared prepared = prepare({.batch = 4});
  const ColourDataset data(3, 1);
  const auto evaluate = [&] {
    Loader loader(data, loader_for(prepared.session->input_type(), /*training=*/false));
    return prepared.session->inference().evaluate(loader, {});
  };
  const auto trained = prepared.session->trained();
  const auto bias = std::ranges::find(trained, "classifier.bias", &Value::name);
  ASSERT_NE(bias, trained.end());
  bias->data->f32()[0] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(evaluate().top1, 0);
  EXPECT_EQ(evaluate().top5, 6) << "of nine, three of them in the class without a score";
  std::ranges::fill(bias->data->f32(), std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(evaluate().top5, 0);
}

// Evaluation shares the arena, and can need more of it than a step that keeps little.
TEST(Memory, TheBoundIsThatOfTheLargerProgram) {
  const auto program = [](int64_t width) {
    Graph graph;
    const ValueId x = graph.add_input("x", {DType::kF32, {1, width}});
    graph.outputs = {emit(graph, kTanh, "tanh", {x})};
    return compile(std::move(graph), *tt_best_kernels());
  };
  const Program small = program(64), large = program(1024);
  for (const auto& [step, inference] : {std::pair{&small, &large}, {&large, &small}}) {
    const MemoryReport memory = report_memory(TrainingGraph{}, *step, *inference);
    EXPECT_EQ(memory.arena, large.plan.arena_bytes);
    EXPECT_EQ(memory.lower_bound, large.plan.lower_bound_bytes);
    EXPECT_EQ(memory.gap(), large.plan.gap());
  }
}

TEST(Memory, EveryWordIsWhatItSays) {
  const Prepared prepared = prepare({.update = Update::kBias});
  const MemoryReport& memory = prepared.session->memory();
  size_t trained = 0, state = 0;
  for (const Value& value : prepared.session->trained()) trained += value.type.bytes();
  for (const Value& value : prepared.session->state()) state += value.type.bytes();
  EXPECT_EQ(memory.trainable, trained);
  EXPECT_EQ(memory.optimizer, state);
  EXPECT_EQ(memory.optimizer, 2 * trained) << "Adam";
  EXPECT_EQ(memory.trainable_scalars * 4, static_cast<int64_t>(trained));
  EXPECT_GE(memory.arena, memory.lower_bound);
  EXPECT_EQ(memory.training_memory(), memory.arena + trained + state + memory.frozen);
}

}  // namespace
}  // namespace tinytl

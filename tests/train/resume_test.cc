// A run that is interrupted or killed and then resumed ends in the same bits as one that was not.

#include "tests/train/support.h"

namespace tinytl {
namespace {

using testing::HasSubstr;

struct Killed {};

class Resume : public testing::Test {
 protected:
  // Everything that carries something from step to step.
  Recipe recipe() const {
    return {.update = Update::kBias,
            .optimizer = {.kind = OptimizerOptions::Kind::kAdam, .accumulation_steps = 2},
            .dropout = 0.3f};
  }
  TrainerOptions options() const {
    TrainerOptions o{
        .epochs = 3, .seed = 9, .save = folder / "learnt", .checkpoint = folder / "checkpoint"};
    o.rates = {0.05, 0.01};
    o.warmup_epochs = 1;
    o.augment.brightness = 0.2;
    return o;
  }
  std::string saved() const { return read_text(folder / "learnt"); }
  // Trained tensors and optimizer state at the end.
  std::string state() const {
    std::string text;
    for (const NamedTensor& t : read_safetensors(folder / "checkpoint").tensors) {
      text.append(reinterpret_cast<const char*>(t.tensor->bytes().data()),
                  t.tensor->bytes().size());
    }
    return text;
  }
  void remove_files() const {
    for (const std::string& name : folder.files()) std::filesystem::remove(folder / name);
  }
  std::string error_resuming(Prepared prepared, TrainerOptions o) const {
    o.resume = true;
    return error_of([&] { train(prepared, data, &val, o); });
  }

  TempFolder folder;
  const ColourDataset data{5, 1}, val{3, 2};  // three steps an epoch
  static constexpr int kSteps = 9;
};

TEST_F(Resume, InterruptedAtAnyStep) {
  Prepared whole = prepare(recipe());
  const TrainingResult uninterrupted = train(whole, data, &val, options());
  const std::string learnt = saved(), end = state();
  for (int k = 1; k <= kSteps; ++k) {
    SCOPED_TRACE(k);
    remove_files();
    Prepared first = prepare(recipe());
    const TrainerOptions before = options();
    std::atomic<bool> stop{false};
    int step = 0;
    const TrainerEvents events{.on_step = [&](const Progress&) { stop = ++step == k; },
                               .on_epoch = {}};
    const TrainingResult part =
        Trainer(*first.session, data, &val, first.info, before).run(events, stop);
    EXPECT_TRUE(part.interrupted);

    Prepared second = prepare(recipe());
    TrainerOptions after = options();
    after.resume = true;
    const TrainingResult rest = train(second, data, &val, after);
    EXPECT_TRUE(saved() == learnt);
    EXPECT_TRUE(state() == end);
    ASSERT_EQ(rest.epochs.size(), uninterrupted.epochs.size());
    EXPECT_EQ(rest.best_epoch, uninterrupted.best_epoch);
    for (size_t e = 0; e < rest.epochs.size(); ++e) {
      EXPECT_EQ(rest.epochs[e].loss, uninterrupted.epochs[e].loss) << e;
      EXPECT_EQ(rest.epochs[e].train_top1, uninterrupted.epochs[e].train_top1) << e;
      EXPECT_EQ(rest.epochs[e].val_loss, uninterrupted.epochs[e].val_loss) << e;
    }
  }
}

TEST_F(Resume, KilledAtAnyStep) {
  Prepared whole = prepare(recipe());
  train(whole, data, &val, options());
  const std::string learnt = saved(), end = state();
  for (int k = 2; k <= kSteps; ++k) {
    SCOPED_TRACE(k);
    remove_files();
    Prepared first = prepare(recipe());
    TrainerOptions o = options();
    o.checkpoint_steps = 1;
    int step = 0;
    EXPECT_THROW(train(first, data, &val, o,
                       {.on_step =
                            [&](const Progress&) {
                              if (++step == k) throw Killed();
                            },
                        .on_epoch = {}}),
                 Killed);
    Prepared second = prepare(recipe());
    o.resume = true;
    train(second, data, &val, o);
    EXPECT_TRUE(saved() == learnt);
    EXPECT_TRUE(state() == end);
  }
}

TEST_F(Resume, InPiecesOfOneStep) {
  Prepared whole = prepare(recipe());
  train(whole, data, &val, options());
  const std::string learnt = saved(), end = state();
  remove_files();
  TrainerOptions o = options();
  o.max_steps = 1;
  for (int piece = 0; piece < kSteps; ++piece) {
    Prepared prepared = prepare(recipe());
    train(prepared, data, &val, o);
    o.resume = true;
  }
  EXPECT_TRUE(state() == end);
  EXPECT_TRUE(saved() == learnt);
}

TEST_F(Resume, FinishedRunStaysAsItIs) {
  Prepared prepared = prepare(recipe());
  const TrainingResult result = train(prepared, data, &val, options());
  const std::string learnt = saved();
  Prepared again = prepare(recipe());
  TrainerOptions o = options();
  o.resume = true;
  const TrainingResult same = train(again, data, &val, o);
  EXPECT_TRUE(saved() == learnt);
  EXPECT_EQ(same.epochs.size(), result.epochs.size());
  EXPECT_EQ(same.best_epoch, result.best_epoch);
}

// --lr auto does not choose again: the rates come from the checkpoint.
TEST_F(Resume, ChosenRatesAreTakenFromTheCheckpoint) {
  Prepared whole = prepare(recipe());
  train(whole, data, &val, options());
  const std::string learnt = saved();
  remove_files();
  TrainerOptions o = options();
  o.max_steps = 4;
  Prepared first = prepare(recipe());
  train(first, data, &val, o);
  o.max_steps = 0;
  o.rates = {1, 1};
  EXPECT_THAT(error_resuming(prepare(recipe()), o), HasSubstr("--lr"));
  o.resume = o.resume_rates = true;
  Prepared second = prepare(recipe());
  EXPECT_EQ(train(second, data, &val, o).rates.head, 0.05);
  EXPECT_TRUE(saved() == learnt);
}

TEST_F(Resume, AnotherRunIsRefused) {
  Prepared first = prepare(recipe());
  train(first, data, &val, options());

  EXPECT_EQ(error_resuming(prepare(recipe()), options()), "(no error)");
  TrainerOptions o = options();
  o.seed = 10;
  EXPECT_THAT(error_resuming(prepare(recipe()), o), HasSubstr("--seed 9"));
  o = options();
  o.epochs = 4;
  EXPECT_THAT(error_resuming(prepare(recipe()), o), HasSubstr("--epochs 3"));
  Recipe r = recipe();
  r.batch = 3;
  EXPECT_THAT(error_resuming(prepare(r), options()), HasSubstr("--batch-size 4"));
  r = recipe();
  r.update = Update::kLast;
  EXPECT_THAT(error_resuming(prepare(r), options()), HasSubstr("--update"));
  r = recipe();
  r.optimizer = {.kind = OptimizerOptions::Kind::kSgd, .momentum = 0};
  EXPECT_THAT(error_resuming(prepare(r), options()), HasSubstr("--optimizer"));
  o = options();
  o.recipe = "--dropout 0.5";
  EXPECT_THAT(error_resuming(prepare(recipe()), o), HasSubstr("other options"));
  Prepared other = prepare(recipe());
  other.info.model_fingerprint = "0123456789abcdef";
  EXPECT_THAT(error_resuming(std::move(other), options()), HasSubstr("another network"));
  other = prepare(recipe());
  other.info.classes[0] = "x";
  EXPECT_THAT(error_resuming(std::move(other), options()), HasSubstr("\"classes\""));
  const ColourDataset more(6, 1);
  o = options();
  o.resume = true;
  other = prepare(recipe());
  EXPECT_THAT(error_of([&] { train(other, more, &val, o); }), HasSubstr("training samples of 15"));
  std::filesystem::remove(options().save);
  EXPECT_THAT(error_resuming(prepare(recipe()), options()), HasSubstr("the best model"));
}

TEST_F(Resume, DamagedCheckpointIsRefused) {
  Prepared first = prepare(recipe());
  train(first, data, &val, options());
  const TensorFile good = read_safetensors(folder / "checkpoint");
  const auto error_with = [&](const std::string& from, const std::string& to) {
    TensorFile file = good;
    std::string& text = file.metadata.at("checkpoint");
    const size_t at = text.find(from);
    if (at == std::string::npos) return "nothing like " + from + " in " + text;
    text.replace(at, from.size(), to);
    write_safetensors(folder / "checkpoint", file);
    return error_resuming(prepare(recipe()), options());
  };
  EXPECT_EQ(error_with("\"epoch\":3", "\"epoch\":3"), "(no error)");
  EXPECT_THAT(error_with("{", ""), HasSubstr("damaged"));
  EXPECT_THAT(error_with("\"epoch\":3", "\"epoch\":1"), HasSubstr("damaged"));
  EXPECT_THAT(error_with("\"epoch\":3", "\"epoch\":-1"), HasSubstr("damaged"));
  EXPECT_THAT(error_with("\"epoch\":3", "\"epoch\":\"x\""), HasSubstr("damaged"));
  EXPECT_THAT(error_with("\"batch\":0", "\"batch\":99"), HasSubstr("damaged"));
  EXPECT_THAT(error_with("\"best_epoch\":", "\"best_epoch\":99"), HasSubstr("damaged"));
  EXPECT_THAT(error_with("\"epochs\":[", "\"epochs\":[[1],"), HasSubstr("damaged"));

  TensorFile learnt = read_safetensors(folder / "learnt");
  write_safetensors(folder / "checkpoint", learnt);
  EXPECT_THAT(error_resuming(prepare(recipe()), options()), HasSubstr("not a checkpoint"));
  write_text(folder / "checkpoint", "garbage");
  EXPECT_THAT(error_resuming(prepare(recipe()), options()), HasSubstr("safetensors"));
  std::filesystem::remove(folder / "checkpoint");
  EXPECT_THAT(error_resuming(prepare(recipe()), options()), HasSubstr("no such file"));
}

}  // namespace
}  // namespace tinytl

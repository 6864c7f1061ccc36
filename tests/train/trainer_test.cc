// The training loop: what is saved, when, and that chance plays no part.

#include "tinytl/train/trainer.h"

#include "tests/train/support.h"

namespace tinytl {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::SizeIs;

class TrainerTest : public testing::Test {
 protected:
  TrainerOptions options(int64_t epochs) const {
    return {.epochs = epochs, .save = folder / "learnt", .checkpoint = folder / "checkpoint"};
  }
  std::string saved() const { return read_text(folder / "learnt"); }

  TempFolder folder;
  const ColourDataset data{5, 1}, val{3, 2};
};

TEST_F(TrainerTest, LearnsColours) {
  Prepared prepared = prepare();
  TrainerOptions o = options(12);
  o.rates = {0.05, 0.01};
  const TrainingResult result = train(prepared, data, &val, o);
  ASSERT_THAT(result.epochs, SizeIs(12));
  EXPECT_LT(result.epochs.back().loss, result.epochs.front().loss);
  EXPECT_GE(result.epochs[static_cast<size_t>(result.best_epoch)].val_top1, 0.6);
  EXPECT_FALSE(result.interrupted);
  EXPECT_TRUE(result.validated);
  EXPECT_THAT(folder.files(), ElementsAre("checkpoint", "learnt"));
}

TEST_F(TrainerTest, SameSeedGivesTheSameBits) {
  std::vector<std::string> files;
  for (const uint64_t seed : {1u, 1u, 2u}) {
    Prepared prepared = prepare({.dropout = 0.2f});
    TrainerOptions o = options(2);
    o.seed = seed;
    o.augment.brightness = 0.2;
    train(prepared, data, &val, o);
    files.push_back(saved());
  }
  EXPECT_TRUE(files[0] == files[1]);
  EXPECT_TRUE(files[0] != files[2]);
}

TEST_F(TrainerTest, BestOrLastIsKept) {
  for (const bool keep_best : {true, false}) {
    Prepared prepared = prepare();
    TrainerOptions o = options(6);
    o.rates = {0.3, 0.1};  // so high that the last is seldom the best
    o.schedule = LearningRateSchedule::Kind::kConstant;
    o.keep_best = keep_best;
    std::vector<std::string> states;
    int64_t last_best = -1;
    const TrainingResult result =
        train(prepared, data, &val, o,
              {.on_step = {}, .on_epoch = [&](int64_t epoch, const EpochResult&, bool best) {
                 states.push_back(bytes_of(prepared.session->trained()));
                 if (best) last_best = epoch;
               }});
    EXPECT_EQ(result.best_epoch, last_best);
    const double kept = result.epochs[static_cast<size_t>(result.best_epoch)].val_top1;
    for (const EpochResult& e : result.epochs) {
      EXPECT_TRUE(!keep_best || e.val_top1 <= kept);
    }
    EXPECT_TRUE(keep_best || result.best_epoch == 5);
    restore(prepared.session->trained(), read_safetensors(o.save), o.save);
    EXPECT_TRUE(bytes_of(prepared.session->trained()) ==
                states[static_cast<size_t>(result.best_epoch)]);
  }
}

TEST_F(TrainerTest, WithoutValidationTheLastIsKept) {
  const ColourDataset none(0, 2);
  for (const Dataset* no_val :
       {static_cast<const Dataset*>(nullptr), static_cast<const Dataset*>(&none)}) {
    Prepared prepared = prepare();
    const TrainingResult result = train(prepared, data, no_val, options(3));
    EXPECT_EQ(result.best_epoch, 2);
    EXPECT_FALSE(result.validated);
    Prepared other = prepare();
    restore(other.session->trained(), read_safetensors(folder / "learnt"), "learnt");
    EXPECT_TRUE(bytes_of(other.session->trained()) == bytes_of(prepared.session->trained()));
  }
}

TEST_F(TrainerTest, SamplesThatFillNoBatchWait) {
  Prepared prepared = prepare({.batch = 4});  // 15 samples: three batches of four
  std::vector<Progress> steps;
  train(prepared, data, nullptr, options(2),
        {.on_step = [&](const Progress& p) { steps.push_back(p); }, .on_epoch = {}});
  ASSERT_THAT(steps, SizeIs(6));
  EXPECT_EQ(steps.back().steps, 3);
  EXPECT_EQ(steps.back().step, 3);
  EXPECT_EQ(steps.back().epoch, 1);
  EXPECT_EQ(prepared.session->updates, 6);
}

TEST_F(TrainerTest, DataSmallerThanABatchIsRefused) {
  Prepared prepared = prepare({.batch = 16});
  EXPECT_THAT(error_of([&] { train(prepared, data, nullptr, options(1)); }),
              HasSubstr("lower --batch-size"));
}

TEST_F(TrainerTest, MaxStepsStopsThereAndSaves) {
  Prepared prepared = prepare();
  TrainerOptions o = options(5);
  o.max_steps = 2;
  TrainingResult result = train(prepared, data, &val, o);
  EXPECT_EQ(prepared.session->updates, 2);
  EXPECT_THAT(result.epochs, SizeIs(0));
  EXPECT_NE(saved().size(), 0u);
  Prepared whole = prepare();
  o.max_steps = 3;  // an epoch: evaluated as any other
  result = train(whole, data, &val, o);
  EXPECT_EQ(whole.session->updates, 3);
  EXPECT_THAT(result.epochs, SizeIs(1));
}

TEST_F(TrainerTest, LastIsKeptWhereStepsRunOut) {
  Prepared prepared = prepare();
  TrainerOptions o = options(5);
  o.keep_best = false;
  o.max_steps = 5;  // in the second epoch of three steps
  train(prepared, data, &val, o);
  const std::string last = bytes_of(prepared.session->trained());
  restore(prepared.session->trained(), read_safetensors(o.save), o.save);
  EXPECT_TRUE(bytes_of(prepared.session->trained()) == last);
}

TEST_F(TrainerTest, LossThatIsNoNumberStopsAndKeepsTheLastGoodState) {
  Prepared prepared = prepare({.optimizer = {.kind = OptimizerOptions::Kind::kSgd}});
  train(prepared, data, &val, options(1));
  const std::string good = saved(), checkpoint = read_text(folder / "checkpoint");
  TrainerOptions o = options(4);
  o.rates = {1e38, 1e38};
  std::string message;
  try {
    train(prepared, data, &val, o);
  } catch (const DivergedError& error) {
    message = error.what();
  }
  EXPECT_THAT(message, HasSubstr("try lower --lr"));
  EXPECT_TRUE(saved() == good);
  EXPECT_TRUE(read_text(folder / "checkpoint") == checkpoint);
}

// The loss is computed before the update: after one step an epoch it is still a number.
TEST_F(TrainerTest, ParametersThatAreNoNumbersAreNotSaved) {
  for (const double rate : {1e38, 1e300}) {
    for (const Dataset* v :
         {static_cast<const Dataset*>(&val), static_cast<const Dataset*>(nullptr)}) {
      Prepared prepared =
          prepare({.optimizer = {.kind = OptimizerOptions::Kind::kSgd}, .batch = 15});
      TrainerOptions o = options(1);
      o.rates = {rate, rate};
      try {
        train(prepared, data, v, o);
      } catch (const DivergedError&) {
      }
      for (const std::string& name : folder.files()) {
        for (const NamedTensor& t : read_safetensors(folder / name).tensors) {
          for (const float x : t.tensor->f32()) ASSERT_TRUE(std::isfinite(x)) << name;
        }
      }
    }
  }
}

TEST_F(TrainerTest, DamagedSamplesAreNamedOnce) {
  ColourDataset bad_train(5, 1), bad_val(3, 2);
  bad_train.damaged = {3};
  bad_val.damaged = {4};
  Prepared prepared = prepare();
  const TrainingResult result = train(prepared, bad_train, &bad_val, options(3));
  EXPECT_THAT(result.damaged, ElementsAre(HasSubstr("colour 3"), HasSubstr("colour 4")));
}

TEST_F(TrainerTest, StrictStopsAtADamagedSample) {
  ColourDataset bad(5, 1);
  bad.damaged = {3};
  for (const bool in_val : {false, true}) {
    Prepared prepared = prepare();
    TrainerOptions o = options(3);
    o.strict = true;
    EXPECT_THAT(error_of([&] { train(prepared, in_val ? data : bad, in_val ? &bad : &val, o); }),
                HasSubstr("colour 3: is damaged"));
  }
}

TEST_F(TrainerTest, NothingReadableIsAnError) {
  ColourDataset bad(2, 1);
  bad.damaged = {0, 1, 2, 3, 4, 5};
  Prepared prepared = prepare();
  EXPECT_THAT(error_of([&] { train(prepared, bad, &val, options(1)); }), HasSubstr("can be read"));
}

}  // namespace
}  // namespace tinytl

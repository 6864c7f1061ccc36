// --lr auto: a rate that works is found, and nothing is left of the trials.

#include "tinytl/train/choose_rates.h"

#include "tests/train/support.h"

namespace tinytl {
namespace {

class ChooseRates : public testing::Test {
 protected:
  RateChoice choose(Prepared& prepared, const TrainerOptions& options,
                    const std::function<void(const RateTrial&)>& on_trial = {}) {
    return choose_rates(*prepared.session, data, prepared.info, options, on_trial, stop);
  }
  TempFolder folder;
  const ColourDataset data{10, 1};
  std::atomic<bool> stop{false};
};

TEST_F(ChooseRates, LeavesNoTrace) {
  Prepared prepared = prepare({.optimizer = {.accumulation_steps = 4}});
  const std::string trained = bytes_of(prepared.session->trained());
  const std::string state = bytes_of(prepared.session->state());
  const RateChoice choice =
      choose(prepared, {.epochs = 6, .save = folder / "a", .checkpoint = folder / "b"});
  EXPECT_TRUE(bytes_of(prepared.session->trained()) == trained);
  EXPECT_TRUE(bytes_of(prepared.session->state()) == state);
  EXPECT_EQ(prepared.session->updates, 0);
  EXPECT_EQ(prepared.session->pending_micro_batches, 0);
  EXPECT_EQ(folder.files().size(), 0u);
  EXPECT_EQ(choice.trained, 24);
  EXPECT_EQ(choice.held_out, 6);
  EXPECT_EQ(choice.trials.size(), 6u);
}

TEST_F(ChooseRates, TakesTheBestTrialAndIsRepeatable) {
  Prepared prepared = prepare();
  const RateChoice choice = choose(prepared, {.epochs = 6});
  double best = 0;
  for (const RateTrial& t : choice.trials) best = std::max(best, t.held_out_top1);
  bool found = false;
  for (const RateTrial& t : choice.trials) {
    const bool same =
        t.rates.head == choice.rates.head && t.rates.backbone == choice.rates.backbone;
    if (same) {
      EXPECT_EQ(t.held_out_top1, best);
    }
    found = found || same;
  }
  EXPECT_TRUE(found);
  const RateChoice again = choose(prepared, {.epochs = 6});
  EXPECT_EQ(again.rates.head, choice.rates.head);
  EXPECT_EQ(again.rates.backbone, choice.rates.backbone);
}

TEST_F(ChooseRates, RatesThatDivergeAreNotChosen) {
  Prepared prepared = prepare({.optimizer = {.kind = OptimizerOptions::Kind::kSgd, .momentum = 0}});
  TrainerOptions options{.epochs = 6};
  options.rates = {1e37, 1e-3};  // a tenth and a third of it are no better
  const std::string trained = bytes_of(prepared.session->trained());
  const RateChoice bad = choose(prepared, options);
  EXPECT_TRUE(std::ranges::any_of(bad.trials, &RateTrial::diverged));
  EXPECT_TRUE(bytes_of(prepared.session->trained()) == trained)
      << "also after trials that diverged";
  options.rates = {3, 1e-3};
  EXPECT_LE(choose(prepared, options).rates.head, 3);
}

TEST_F(ChooseRates, StoppedBeforeTheFirstTrialKeepsTheRates) {
  Prepared prepared = prepare();
  stop = true;
  TrainerOptions options{.epochs = 6};
  options.rates = {0.5, 0.25};
  const RateChoice choice = choose(prepared, options);
  EXPECT_EQ(choice.rates.head, 0.5);
  EXPECT_EQ(choice.trials.size(), 0u);
}

TEST_F(ChooseRates, StoppedAfterATrialTriesNoMore) {
  Prepared prepared = prepare();
  const RateChoice choice = choose(prepared, {.epochs = 6}, [&](const RateTrial&) { stop = true; });
  EXPECT_EQ(choice.trials.size(), 1u);
}

TEST_F(ChooseRates, WithoutBackboneOnlyTheClassifierIsTried) {
  Prepared prepared = prepare({.update = Update::kLast});
  EXPECT_EQ(choose(prepared, {.epochs = 3}).trials.size(), 4u);
}

}  // namespace
}  // namespace tinytl

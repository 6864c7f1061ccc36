#include "tinytl/train/choose_rates.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "tinytl/train/subset.h"

namespace tinytl {
namespace {

// The tensors that training changes, to begin every trial at the same point. In a temporary file
// without a name: in memory they would be bytes that nobody announced.
class Snapshot {
 public:
  explicit Snapshot(Session& session)
      : session_(session), learnt_(session.learnt()), file_(std::tmpfile()) {
    if (file_ == nullptr) fail();
    for (const Value& value : learnt_) {
      const auto bytes = value.data->bytes();
      if (std::fwrite(bytes.data(), 1, bytes.size(), file_) != bytes.size()) fail();
    }
    if (std::fflush(file_) != 0) fail();
  }
  ~Snapshot() {
    if (file_ != nullptr) std::fclose(file_);
  }
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  void restore() {
    std::rewind(file_);
    for (const Value& value : learnt_) {
      const auto bytes = value.data->bytes();
      if (std::fread(bytes.data(), 1, bytes.size(), file_) != bytes.size()) fail();
    }
    for (const Value& value : session_.state()) {
      std::ranges::fill(value.data->bytes(), std::byte{0});
    }
    session_.updates = 0;
    session_.pending_micro_batches = 0;
  }

 private:
  [[noreturn]] static void fail() {
    throw InputError("--lr auto: the folder for temporary files cannot be written (" +
                     std::string(std::strerror(errno)) + "); free space there");
  }
  Session& session_;
  std::vector<Value> learnt_;
  std::FILE* file_;
};

bool better(const RateTrial& a, const RateTrial& b) {
  if (a.diverged != b.diverged) return b.diverged;
  if (a.held_out_top1 != b.held_out_top1) return a.held_out_top1 > b.held_out_top1;
  return a.held_out_loss < b.held_out_loss;
}

}  // namespace

RateChoice choose_rates(Session& session, const Dataset& train, const LearntInfo& info,
                        const TrainerOptions& options,
                        const std::function<void(const RateTrial&)>& on_trial,
                        const std::atomic<bool>& stop) {
  constexpr double kHeldOutFraction = 0.2;
  const HoldOut parts = hold_out(train, kHeldOutFraction, options.seed);
  TrainerOptions trial_options = options;
  trial_options.epochs = std::clamp<int64_t>(options.epochs / 3, 1, 5);
  trial_options.max_steps = 0;
  trial_options.save.clear();
  trial_options.checkpoint.clear();
  trial_options.resume = false;
  trial_options.keep_best = false;

  RateChoice choice;
  choice.rates = options.rates;
  choice.trained = parts.train->size();
  choice.held_out = parts.held_out->size();
  choice.epochs = trial_options.epochs;
  Snapshot beginning(session);
  const auto try_rates = [&](const LearningRates& rates) {
    RateTrial trial{.rates = rates};
    trial_options.rates = rates;
    try {
      Trainer trainer(session, *parts.train, parts.held_out.get(), info, trial_options);
      const TrainingResult result = trainer.run({}, stop);
      if (!result.epochs.empty()) {
        trial.held_out_top1 = result.epochs.back().val_top1;
        trial.held_out_loss = result.epochs.back().val_loss;
      }
    } catch (const DivergedError&) {
      trial.diverged = true;
    }
    beginning.restore();
    choice.trials.push_back(trial);
    if (on_trial) on_trial(trial);
  };
  const auto best = [&] { return std::ranges::min_element(choice.trials, better)->rates; };

  for (const double factor : {1.0, 1.0 / 3, 1.0 / 10, 3.0}) {
    LearningRates rates = options.rates;
    rates.head *= factor;
    if (!stop) try_rates(rates);
  }
  if (choice.trials.empty()) return choice;  // stopped before the first
  const auto groups = session.trained_groups();
  const auto try_around = [&](Group group, double LearningRates::*rate) {
    const LearningRates start = best();
    for (const double factor : {1.0 / 3, 3.0}) {
      if (stop || std::ranges::find(groups, group) == groups.end()) return;
      LearningRates rates = start;
      rates.*rate *= factor;
      try_rates(rates);
    }
  };
  try_around(Group::kBackbone, &LearningRates::backbone);
  try_around(Group::kLite, &LearningRates::lite);
  choice.rates = best();
  return choice;
}

}  // namespace tinytl

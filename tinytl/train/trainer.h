// The training loop: epochs, evaluation, the best model kept, checkpoints.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <set>

#include "optim/learning_rate.h"
#include "tinytl/train/learnt.h"
#include "tinytl/train/session.h"

namespace tinytl {

struct TrainerOptions {
  int64_t epochs = 15;
  int64_t max_steps = 0;  // > 0: stop after so many steps of this run
  LearningRates rates = {};
  LearningRateSchedule::Kind schedule = LearningRateSchedule::Kind::kCosine;
  double warmup_epochs = 0;
  uint64_t seed = 0;
  AugmentOptions augment = AugmentOptions::training();
  std::string recipe = "";  // other options in words; a resumed run must have the same
  bool strict = false;      // stop at a damaged image
  bool keep_best = true;    // the saved model is the best on val; otherwise the last

  std::filesystem::path save = {};        // learnt tensors; empty: nothing is saved
  std::filesystem::path checkpoint = {};  // to resume from; empty: none
  int64_t checkpoint_steps = 0;           // also every so many steps, not only at each epoch's end
  bool resume = false;
  bool resume_rates = false;  // a resumed run takes `rates` from the checkpoint
};

struct EpochResult {
  double loss = 0;        // mean training loss
  double train_top1 = 0;  // fraction of augmented training samples, while they were trained on
  double val_loss = 0;    // without label smoothing
  double val_top1 = 0;    // fraction
  double seconds = 0;
};

struct Progress {
  int64_t epoch = 0, epochs = 0;  // from 0
  int64_t step = 0, steps = 0;    // in this epoch
  double loss = 0, top1 = 0;      // of this epoch so far
  double images_per_second = 0;
};

struct TrainingResult {
  std::vector<EpochResult> epochs;
  bool validated = false;  // there was a validation set
  LearningRates rates;     // used: those of the options, or of the checkpoint
  int64_t best_epoch = -1;
  double step_seconds_median = 0;
  uint64_t allocations_in_step = 0;  // most of any step after the first
  bool interrupted = false;
  std::vector<std::string> damaged;  // a message for each image left out
};

// Watches the run. Both may be empty.
struct TrainerEvents {
  std::function<void(const Progress&)> on_step = {};
  std::function<void(int64_t epoch, const EpochResult&, bool best)> on_epoch = {};
};

// A loss that is not a number: the step that made it was not saved.
class DivergedError : public InputError {
 public:
  using InputError::InputError;
};

class Trainer {
 public:
  // `val` may be null or empty: then the last model is kept. Everything must outlive the trainer.
  Trainer(Session& session, const Dataset& train, const Dataset* val, const LearntInfo& info,
          const TrainerOptions& options);

  // Runs to the end, to max_steps, or until `stop` becomes true (then a checkpoint is saved). The
  // result depends on the options and the data alone: a run that was stopped, or killed, and
  // resumed ends in the same bits. Calls Session::forget_plan. Throws DivergedError, InputError.
  TrainingResult run(const TrainerEvents& events, const std::atomic<bool>& stop);

  LoaderOptions train_loader() const;
  LoaderOptions val_loader() const;

 private:
  struct Position;
  void train_epoch(Position& at, const TrainerEvents& events, const std::atomic<bool>& stop,
                   TrainingResult& result);
  void train_batches(Loader& loader, Position& at, const TrainerEvents& events,
                     const std::atomic<bool>& stop, TrainingResult& result);
  std::optional<StepResult> train_batch(Loader& loader, int64_t step, double& seconds);
  void finish_epoch(Position& at, const TrainerEvents& events, TrainingResult& result);
  void save_checkpoint(const Position& at, const TrainingResult& result) const;
  void load_checkpoint(Position& at, TrainingResult& result);
  void check_same_run(const std::string& text);
  void read_position(const std::string& text, Position& at, TrainingResult& result);
  void check_not_diverged(const Position& at, const TrainingResult& result) const;
  bool out_of_steps() const;
  LearningRates rates_at(int64_t step) const;

  Session& session_;
  const Dataset& train_;
  const Dataset* val_;
  const LearntInfo& info_;
  const TrainerOptions& options_;
  LearningRates rates_;
  int64_t steps_per_epoch_ = 0;
  int64_t steps_run_ = 0;          // of this run
  std::set<std::string> damaged_;  // a message for each image left out
  std::vector<double> step_seconds_;
};

}  // namespace tinytl

#include "tinytl/train/trainer.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "tinytl/data/random.h"
#include "tinytl/train/position.h"
#include "tinytl/train/process_memory.h"

namespace tinytl {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

[[noreturn]] void throw_diverged(const std::string& what, int64_t step, int64_t epoch,
                                 const TrainingResult& result) {
  throw DivergedError(what + " not a number at step " + std::to_string(step) + " of epoch " +
                      std::to_string(epoch + 1) +
                      (result.epochs.empty() ? "; no epoch was finished and saved yet"
                                             : "; the state after the last full epoch is kept") +
                      "; try lower --lr and --head-lr, or --clip-norm 1");
}

}  // namespace

Trainer::Trainer(Session& session, const Dataset& train, const Dataset* val, const LearntInfo& info,
                 const TrainerOptions& options)
    : session_(session),
      train_(train),
      val_(val != nullptr && val->size() > 0 ? val : nullptr),
      info_(info),
      options_(options),
      rates_(options.rates) {
  if (train.size() < session.batch_size()) {
    throw InputError("the training set has " + std::to_string(train.size()) +
                     " samples, fewer than one batch of " + std::to_string(session.batch_size()) +
                     "; lower --batch-size");
  }
  steps_per_epoch_ = train.size() / session.batch_size();
}

LoaderOptions Trainer::train_loader() const {
  LoaderOptions loader = loader_for(session_.input_type(), /*training=*/true);
  loader.augment = options_.augment;
  loader.seed = options_.seed;
  loader.on_damage = options_.strict ? OnDamage::kThrow : OnDamage::kReplace;
  loader.end_epoch = options_.epochs;
  loader.step_batches = static_cast<int>(session_.micro_batches());
  return loader;
}

LoaderOptions Trainer::val_loader() const {
  LoaderOptions loader = loader_for(session_.input_type(), /*training=*/false);
  loader.augment.squash = options_.augment.squash;
  loader.augment.center_fraction = options_.augment.center_fraction;
  if (options_.strict) loader.on_damage = OnDamage::kThrow;
  return loader;
}

LearningRates Trainer::rates_at(int64_t step) const {
  const LearningRateSchedule schedule{
      .kind = options_.schedule,
      .total_steps = options_.epochs * steps_per_epoch_,
      .warmup_steps = std::llround(options_.warmup_epochs * double(steps_per_epoch_)),
      .step_interval = std::max<int64_t>(1, options_.epochs * steps_per_epoch_ / 3)};
  return rates_ * learning_rate_factor(schedule, step);
}

TrainingResult Trainer::run(const TrainerEvents& events, const std::atomic<bool>& stop) {
  TrainingResult result;
  result.validated = val_ != nullptr;
  session_.forget_plan();
  release_free_heap();
  Position at;
  if (options_.resume) load_checkpoint(at, result);
  result.rates = rates_;
  if (at.epoch >= options_.epochs) return result;

  constexpr int64_t kTimedSteps = 10'000;  // enough for a median
  const auto capacity = std::min(kTimedSteps, (options_.epochs - at.epoch) * steps_per_epoch_);
  step_seconds_.reserve(static_cast<size_t>(capacity));
  while (at.epoch < options_.epochs && !out_of_steps()) {
    train_epoch(at, events, stop, result);
    if (result.interrupted || (out_of_steps() && at.batch < steps_per_epoch_)) break;
    finish_epoch(at, events, result);
  }
  result.damaged.assign(damaged_.begin(), damaged_.end());
  result.step_seconds_median = median(step_seconds_);
  const bool unfinished = at.epoch < options_.epochs;
  if (unfinished && !options_.checkpoint.empty()) save_checkpoint(at, result);
  const bool keeps_last = !options_.keep_best || val_ == nullptr || result.best_epoch < 0;
  if (unfinished && keeps_last && !options_.save.empty() && !result.interrupted) {
    check_not_diverged(at, result);
    write_safetensors(options_.save, pack_learnt(info_, session_.learnt()));
  }
  return result;
}

void Trainer::train_epoch(Position& at, const TrainerEvents& events, const std::atomic<bool>& stop,
                          TrainingResult& result) {
  // Made anew for each epoch, so that its batches are gone while evaluation has its own.
  LoaderOptions loader_options = train_loader();
  loader_options.first_epoch = at.epoch;
  loader_options.first_batch = at.batch * session_.micro_batches();
  loader_options.end_epoch = at.epoch + 1;
  Loader loader(train_, loader_options);
  train_batches(loader, at, events, stop, result);
  for (std::string& message : loader.damaged()) damaged_.insert(std::move(message));
}

// A whole batch, as its micro-batches; empty at the end of the epoch. `seconds`: of computing.
std::optional<StepResult> Trainer::train_batch(Loader& loader, int64_t step, double& seconds) {
  const LearningRates rates = rates_at(step);
  const uint64_t dropout_seed = mix_bits(options_.seed ^ mix_bits(static_cast<uint64_t>(step)));
  StepResult sum;
  for (int64_t part = 0; part < session_.micro_batches(); ++part) {
    const Batch* const batch = loader.front();
    if (batch == nullptr) return std::nullopt;
    const Clock::time_point start = Clock::now();
    session_.load(*batch, info_.normalisation);
    loader.pop();  // the next one is read meanwhile
    const StepResult result = session_.run(rates, dropout_seed, part);
    seconds += seconds_since(start);
    sum.loss += result.loss;
    sum.correct += result.correct;
  }
  sum.loss /= static_cast<double>(session_.micro_batches());
  return sum;
}

void Trainer::train_batches(Loader& loader, Position& at, const TrainerEvents& events,
                            const std::atomic<bool>& stop, TrainingResult& result) {
  const Clock::time_point start = Clock::now();
  const double seconds_before = at.seconds;
  const int64_t batch_before = at.batch;
  while (true) {
    const uint64_t allocations = allocations_of_this_thread();
    double seconds = 0;
    const std::optional<StepResult> trained = train_batch(loader, at.step, seconds);
    if (!trained.has_value()) return;
    const StepResult& step = *trained;
    const uint64_t allocated = allocations_of_this_thread() - allocations;
    if (step_seconds_.size() < step_seconds_.capacity()) step_seconds_.push_back(seconds);
    if (steps_run_ > 0) {
      result.allocations_in_step = std::max(result.allocations_in_step, allocated);
    }
    ++at.batch;
    ++at.step;
    ++steps_run_;
    if (!std::isfinite(step.loss)) throw_diverged("the loss is", at.step, at.epoch, result);
    at.loss_sum += step.loss;
    at.correct += step.correct;
    at.seconds = seconds_before + seconds_since(start);
    if (events.on_step) {
      const auto images = static_cast<double>(at.batch * session_.batch_size());
      const double rate = static_cast<double>((at.batch - batch_before) * session_.batch_size()) /
                          std::max(1e-9, at.seconds - seconds_before);
      events.on_step({at.epoch, options_.epochs, at.batch, steps_per_epoch_,
                      at.loss_sum / static_cast<double>(at.batch),
                      static_cast<double>(at.correct) / images, rate});
    }
    result.interrupted = stop.load();
    if (result.interrupted || (out_of_steps() && at.batch < steps_per_epoch_)) return;
    if (options_.checkpoint_steps > 0 && at.step % options_.checkpoint_steps == 0 &&
        !options_.checkpoint.empty() && at.batch < steps_per_epoch_) {
      save_checkpoint(at, result);
    }
  }
}

void Trainer::finish_epoch(Position& at, const TrainerEvents& events, TrainingResult& result) {
  const Clock::time_point start = Clock::now();
  EpochResult epoch;
  epoch.loss = at.loss_sum / static_cast<double>(std::max<int64_t>(1, at.batch));
  epoch.train_top1 = static_cast<double>(at.correct) /
                     static_cast<double>(std::max<int64_t>(1, at.batch) * session_.batch_size());
  bool best = true;
  check_not_diverged(at, result);
  if (val_ != nullptr) {
    Loader loader(*val_, val_loader());
    const Evaluation evaluation = session_.inference().evaluate(loader, info_.normalisation);
    epoch.val_loss = evaluation.loss();
    epoch.val_top1 = evaluation.top1_fraction();
    for (std::string& message : loader.damaged()) damaged_.insert(std::move(message));
    if (!std::isfinite(epoch.val_loss)) {
      throw_diverged("the validation loss is", at.step, at.epoch, result);
    }
    if (options_.keep_best && result.best_epoch >= 0) {
      const EpochResult& old = result.epochs[static_cast<size_t>(result.best_epoch)];
      best = session_.classes() > 0 ? epoch.val_top1 > old.val_top1 : epoch.val_loss < old.val_loss;
    }
  }
  epoch.seconds = at.seconds + seconds_since(start);
  result.epochs.push_back(epoch);
  if (best) {
    result.best_epoch = at.epoch;
    if (!options_.save.empty()) {
      write_safetensors(options_.save, pack_learnt(info_, session_.learnt()));
    }
  }
  if (events.on_epoch) events.on_epoch(at.epoch, epoch, best);
  at = {.epoch = at.epoch + 1, .batch = 0, .step = at.step};
  if (!options_.checkpoint.empty()) save_checkpoint(at, result);
}

bool Trainer::out_of_steps() const {
  return options_.max_steps > 0 && steps_run_ >= options_.max_steps;
}

// The loss is that of the parameters before an update: one step too early to see what it broke.
void Trainer::check_not_diverged(const Position& at, const TrainingResult& result) const {
  for (const Value& value : session_.learnt()) {
    if (value.type.dtype != DType::kF32) continue;  // integers are always finite
    const auto numbers = value.data->f32();
    if (std::ranges::all_of(numbers, [](float x) { return std::isfinite(x); })) continue;
    throw_diverged("parameter \"" + value.name + "\" is", at.step, at.epoch, result);
  }
}

}  // namespace tinytl

// --lr auto: learning rates chosen on a part of the training set.
#pragma once

#include "tinytl/train/trainer.h"

namespace tinytl {

struct RateTrial {
  LearningRates rates;
  double held_out_top1 = 0, held_out_loss = 0;
  bool diverged = false;
};

struct RateChoice {
  LearningRates rates;
  int64_t trained = 0, held_out = 0;  // samples
  int64_t epochs = 0;                 // of every trial
  std::vector<RateTrial> trials;
};

// Trains a few epochs on four fifths of `train` with each of several rates, measures on the rest,
// and keeps the best: first the rate of the classifier, then those of the other groups of
// parameters, in factors of about 3 around `options.rates`. The validation set is not looked at.
// Parameters, optimizer state and counters of the session are as before afterwards.
RateChoice choose_rates(Session& session, const Dataset& train, const LearntInfo& info,
                        const TrainerOptions& options,
                        const std::function<void(const RateTrial&)>& on_trial,
                        const std::atomic<bool>& stop);

}  // namespace tinytl

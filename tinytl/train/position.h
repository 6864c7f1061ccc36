// Where a run is. Private to this folder.
#pragma once

#include "tinytl/train/trainer.h"

namespace tinytl {

// What a checkpoint has to hold besides tensors.
struct Trainer::Position {
  int64_t epoch = 0, batch = 0;  // the next batch to train on
  int64_t step = 0;              // batches trained on in all
  double loss_sum = 0;           // of this epoch so far
  int64_t correct = 0;           // of this epoch so far
  double seconds = 0;            // of this epoch so far
};

}  // namespace tinytl

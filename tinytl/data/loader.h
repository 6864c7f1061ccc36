// Batches of samples, prepared ahead of the training step by one thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_set>
#include <vector>

#include "tinytl/data/augment.h"
#include "tinytl/data/dataset.h"

namespace tinytl {

struct Batch {
  int64_t epoch = 0, number = 0;  // `number` counts from 0 in each epoch
  int count = 0;                  // of samples
  InputSize size;
  std::vector<uint8_t> pixels;   // [batch size, height, width, channels], for images
  std::vector<float> floats;     // [batch size, values], for float data
  std::vector<int32_t> labels;   // [count]; -1 without labels
  std::vector<int64_t> indices;  // [count], into the data set
};

enum class OnDamage {
  kReplace,  // by the next sound sample of the epoch's order: batches stay full (training)
  kSkip,     // the batch is shorter (evaluation: no sample counts twice)
  kThrow     // next() throws the ImageError
};

struct LoaderOptions {
  int batch_size = 8;
  InputSize size;
  AugmentOptions augment = AugmentOptions::training();
  uint64_t seed = 0;
  bool shuffle = true;
  bool drop_last = true;  // leaves out the samples of an epoch that fill no step
  int step_batches = 1;   // batches of a training step (micro-batches)
  OnDamage on_damage = OnDamage::kReplace;
  int prefetch = 2;  // batches that wait ready

  // Where to start (a resumed run) and the first epoch not to produce.
  int64_t first_epoch = 0, first_batch = 0;
  int64_t end_epoch = std::numeric_limits<int64_t>::max();
};

// Every sample once, in order, without chance: for measuring.
LoaderOptions evaluation_loader(const InputSize& size, int batch_size);

// What is in batch k of epoch e depends on the data set, the options and the seed only: not on
// time, not on thread, not on where the loader started. Smaller batches, with step_batches
// accordingly larger, are the same samples cut more often. Memory is `prefetch` batches and one
// decoded image, whatever the size of the data set.
//
// A data set whose images all have exactly the network's size (IDX) is taken whole in evaluation;
// center_fraction is for photographs.
class Loader {
 public:
  // Throws InputError if the options are senseless or the data set does not fit them. The data set
  // must outlive the loader.
  Loader(const Dataset& dataset, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // The next batch, where it is until pop() gives its memory back to be filled; null once at the
  // end of each epoch (then there is nothing to pop). Allocates nothing. Throws what the reading
  // threw.
  const Batch* front();
  void pop();

  // The next batch to keep, or false once at the end of each epoch. Exchanges buffers with `batch`,
  // so give the same one every time: then nothing is allocated here, but there is one batch more.
  bool next(Batch& batch);

  int64_t batches_per_epoch() const { return batches_per_epoch_; }

  // A message for each damaged sample met so far.
  std::vector<std::string> damaged() const;

 private:
  struct Slot {
    Batch batch;
    bool end_of_epoch = false;
    std::exception_ptr error;
  };

  void check_dataset();
  bool stopping() const;
  void produce();
  bool produce_epoch(int64_t epoch, int64_t first_batch);
  Slot* wait_for_free_slot();
  Slot& wait_for_filled_slot();
  void hand_over();
  bool fill(int64_t epoch, int64_t number, Batch& batch);
  bool append(int64_t epoch, int64_t index, Batch& batch);
  bool load_sound(int64_t index);
  void place(int64_t epoch, int64_t index, Batch& batch);

  const Dataset& dataset_;
  LoaderOptions options_;
  int64_t batches_per_epoch_ = 0;
  size_t values_per_sample_ = 0;

  // Used by the thread alone.
  Sample sample_;
  std::unordered_set<int64_t> known_damaged_;

  mutable std::mutex mutex_;
  std::condition_variable slot_filled_, slot_freed_;
  std::vector<Slot> slots_;  // a ring
  size_t taken_ = 0, filled_ = 0;
  bool stop_ = false;
  std::vector<std::string> damage_;
  std::thread thread_;
};

}  // namespace tinytl

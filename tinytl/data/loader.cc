#include "tinytl/data/loader.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <utility>

namespace tinytl {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

// Which data set, for messages: the place of its first sample.
std::string who(const Dataset& dataset) {
  return dataset.size() == 0 ? "data set: " : "data set with " + dataset.name(0) + ": ";
}

void check(const LoaderOptions& o) {
  check_options(o.augment);
  if (o.batch_size < 1) throw InputError("batch size " + text(o.batch_size) + " must be 1 or more");
  if (o.step_batches < 1) throw InputError("a step needs 1 batch or more");
  if (o.prefetch < 1) throw InputError("the loader must prefetch 1 batch or more");
  if (o.size.height < 1 || o.size.width < 1) throw InputError("the network's input has no pixels");
  if (o.first_epoch < 0 || o.first_batch < 0)
    throw InputError("cannot start before the first batch");
}

}  // namespace

LoaderOptions evaluation_loader(const InputSize& size, int batch_size) {
  return {.batch_size = batch_size,
          .size = size,
          .augment = AugmentOptions::evaluation(),
          .shuffle = false,
          .drop_last = false,
          .on_damage = OnDamage::kSkip};
}

Loader::Loader(const Dataset& dataset, const LoaderOptions& options)
    : dataset_(dataset), options_(options) {
  check(options_);
  check_dataset();
  slots_.resize(static_cast<size_t>(options_.prefetch));
  thread_ = std::thread(&Loader::produce, this);
}

void Loader::check_dataset() {
  const InputSize& size = options_.size;
  values_per_sample_ = static_cast<size_t>(size.height) * size.width * size.channels;
  const std::vector<int64_t> shape = dataset_.sample_shape();
  if (dataset_.kind() == SampleKind::kFloats) {
    const int64_t stored =
        std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
    if (stored != static_cast<int64_t>(values_per_sample_)) {
      throw InputError(who(dataset_) + "samples of " + text(stored) +
                       " numbers do not fit a network that takes " +
                       text(static_cast<int64_t>(values_per_sample_)) +
                       ": choose another of the two");
    }
  } else if (size.channels != 1 && size.channels != 3) {
    throw InputError(who(dataset_) + "images have 1 or 3 channels, the network takes " +
                     text(size.channels) + ": choose another network");
  }
  if (shape == std::vector<int64_t>{size.height, size.width, shape.empty() ? 0 : shape.back()}) {
    options_.augment.center_fraction = 1;
  }
  if (dataset_.size() == 0) throw InputError("data set: it has no samples: add some");
  const int64_t step = int64_t{options_.batch_size} * options_.step_batches;
  batches_per_epoch_ = options_.drop_last
                           ? dataset_.size() / step * options_.step_batches
                           : (dataset_.size() + options_.batch_size - 1) / options_.batch_size;
  if (batches_per_epoch_ == 0) {
    throw InputError(who(dataset_) + text(dataset_.size()) + " samples do not fill a batch of " +
                     text(step) + ": choose a smaller batch or add samples");
  }
  if (options_.first_batch > batches_per_epoch_) {
    throw InputError(who(dataset_) + "cannot resume at batch " + text(options_.first_batch) +
                     ", an epoch has " + text(batches_per_epoch_) +
                     ": use the data set and batch size of the first run");
  }
}

Loader::~Loader() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  slot_freed_.notify_all();
  thread_.join();
}

Loader::Slot& Loader::wait_for_filled_slot() {
  std::unique_lock lock(mutex_);
  slot_filled_.wait(lock, [&] { return taken_ != filled_; });
  Slot& slot = slots_[taken_ % slots_.size()];
  // The last slot of all stays, so that an error or the end is met again by a further call.
  if (slot.error) std::rethrow_exception(slot.error);
  return slot;
}

const Batch* Loader::front() {
  const Slot& slot = wait_for_filled_slot();
  if (!slot.end_of_epoch) return &slot.batch;
  if (slot.batch.epoch + 1 < options_.end_epoch) pop();
  return nullptr;
}

void Loader::pop() {
  {
    const std::lock_guard lock(mutex_);
    ++taken_;
  }
  slot_freed_.notify_one();
}

bool Loader::next(Batch& batch) {
  if (front() == nullptr) return false;
  std::swap(batch, wait_for_filled_slot().batch);
  pop();
  return true;
}

std::vector<std::string> Loader::damaged() const {
  const std::lock_guard lock(mutex_);
  return damage_;
}

bool Loader::stopping() const {
  const std::lock_guard lock(mutex_);
  return stop_;
}

void Loader::produce() try {
  int64_t first_batch = options_.first_batch;
  int64_t epoch = options_.first_epoch;
  do {
    if (!produce_epoch(epoch, first_batch)) return;
    first_batch = 0;
  } while (++epoch < options_.end_epoch);
} catch (...) {
  Slot* slot = wait_for_free_slot();
  if (!slot) return;
  slot->error = std::current_exception();
  hand_over();
}

// False if the loader is being destroyed.
bool Loader::produce_epoch(int64_t epoch, int64_t first_batch) {
  for (int64_t number = first_batch; number <= batches_per_epoch_; ++number) {
    Slot* slot = wait_for_free_slot();
    if (!slot) return false;
    slot->end_of_epoch = number == batches_per_epoch_ || epoch >= options_.end_epoch;
    slot->batch.epoch = epoch;
    slot->batch.number = number;
    if (!slot->end_of_epoch) {
      if (!fill(epoch, number, slot->batch)) return false;
      if (slot->batch.count == 0) continue;  // every sample of it is damaged and skipped
    }
    hand_over();
    if (slot->end_of_epoch) break;
  }
  return true;
}

Loader::Slot* Loader::wait_for_free_slot() {
  std::unique_lock lock(mutex_);
  slot_freed_.wait(lock, [&] { return stop_ || filled_ - taken_ < slots_.size(); });
  return stop_ ? nullptr : &slots_[filled_ % slots_.size()];
}

void Loader::hand_over() {
  {
    const std::lock_guard lock(mutex_);
    ++filled_;
  }
  slot_filled_.notify_one();
}

bool Loader::fill(int64_t epoch, int64_t number, Batch& batch) {
  const int64_t size = dataset_.size();
  const int64_t begin = number * options_.batch_size;
  const int64_t end = std::min<int64_t>(begin + options_.batch_size, size);
  const Permutation order(static_cast<uint64_t>(size), options_.seed, static_cast<uint64_t>(epoch));
  const auto sample_at = [&](int64_t position) {
    return options_.shuffle ? static_cast<int64_t>(order(static_cast<uint64_t>(position)))
                            : position;
  };
  batch.count = 0;
  batch.size = options_.size;
  batch.labels.clear();
  batch.indices.clear();
  const bool floats = dataset_.kind() == SampleKind::kFloats;
  batch.pixels.resize(floats ? 0 : values_per_sample_ * options_.batch_size);
  batch.floats.resize(floats ? values_per_sample_ * options_.batch_size : 0);
  // A replacement does not move the samples after it, so batch k can be made without batch k - 1.
  const int64_t tries = options_.on_damage == OnDamage::kReplace ? size : 1;
  for (int64_t position = begin; position < end; ++position) {
    for (int64_t tried = 0; tried < tries; ++tried) {
      if (stopping()) return false;
      if (append(epoch, sample_at((position + tried) % size), batch)) break;
    }
  }
  return true;
}

bool Loader::append(int64_t epoch, int64_t index, Batch& batch) {
  if (!load_sound(index)) return false;
  place(epoch, index, batch);
  return true;
}

bool Loader::load_sound(int64_t index) {
  if (known_damaged_.contains(index)) return false;
  try {
    dataset_.load(index, options_.size.channels, decode_side(options_.augment, options_.size),
                  sample_);
    return true;
  } catch (const ImageError& error) {
    if (options_.on_damage == OnDamage::kThrow) throw;
    known_damaged_.insert(index);
    if (known_damaged_.size() == static_cast<size_t>(dataset_.size())) {
      throw InputError(who(dataset_) + "none of its " + text(dataset_.size()) +
                       " samples can be read, the last one: " + error.what());
    }
    const std::lock_guard lock(mutex_);
    damage_.push_back(error.what());
    return false;
  }
}

void Loader::place(int64_t epoch, int64_t index, Batch& batch) {
  const size_t at = values_per_sample_ * static_cast<size_t>(batch.count);
  if (dataset_.kind() == SampleKind::kFloats) {
    std::copy(sample_.floats.begin(), sample_.floats.end(), batch.floats.begin() + at);
  } else {
    const Random random(options_.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(index));
    augment(sample_.image, options_.augment, options_.size, random, batch.pixels.data() + at);
  }
  batch.labels.push_back(dataset_.label(index));
  batch.indices.push_back(index);
  ++batch.count;
}

}  // namespace tinytl

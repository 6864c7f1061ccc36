// A network that is being trained: the compiled step, the compiled inference, one arena for both.
#pragma once

#include <memory>

#include "optim/optimizer.h"
#include "tinytl/train/inference.h"
#include "tinytl/train/memory_report.h"
#include "tinytl/train/step_times.h"

namespace tinytl {

struct LearningRates {
  // Work untuned for bias-only and lite residuals with Adam.
  double head = 1e-2, backbone = 1e-3, lite = 1e-3;

  double of(Group group) const {
    return group == Group::kHead ? head : group == Group::kLite ? lite : backbone;
  }
  friend bool operator==(const LearningRates&, const LearningRates&) = default;
};
inline LearningRates operator*(const LearningRates& rates, double factor) {
  return {rates.head * factor, rates.backbone * factor, rates.lite * factor};
}

struct StepResult {
  double loss = 0;      // mean over the micro-batch
  int64_t correct = 0;  // samples whose largest score is their label; 0 without labels
};

// The network, imported at the batch size that runs at once, and how often it runs a step.
struct SessionOptions {
  // A batch is so many micro-batches, which the accumulation of `training` must count:
  // accumulation_steps is a multiple of it.
  int64_t micro_batches = 1;
  int threads = 1;  // that compute
  // Training memory up to which layers that do not learn may move to XNNPACK, where it is faster
  // here (engine/xnnpack); empty: none does.
  std::optional<size_t> xnnpack_within = std::nullopt;
};

class Session {
 public:
  // `training` must come from a graph that shares its parameters with `inference`. No kernel of
  // either touches memory outside `memory()`, XNNPACK's included. Throws InputError where the
  // output does not suit the loss, or there are not so many threads (ThreadPool).
  Session(TrainingGraph training, Graph inference, const Loss& loss,
          const SessionOptions& options = {});

  const MemoryReport& memory() const { return memory_; }
  const Program& step_program() const { return step_->program(); }
  // The node of step_program() that each instruction of a step runs, in order.
  std::span<const NodeId> step_nodes() const { return step_->instruction_nodes(); }
  // From now on records the times of those in `times`, which must outlive the session or the next
  // call; null: no longer.
  void record(StepTimes* times) { times_ = times; }
  // Frees what only reports read; step_program() must not be called from now on.
  void forget_plan() { step_->forget_program(); }
  size_t arena_touched_bytes() const { return step_->arena().touched_bytes(); }
  // [micro-batch, ...]: what the network takes.
  const TensorType& input_type() const { return input_->type(); }
  int64_t micro_batch_size() const { return input_type().dim(0); }
  int64_t micro_batches() const { return micro_batches_; }  // of a batch
  int64_t batch_size() const { return micro_batch_size() * micro_batches_; }
  int64_t classes() const { return classes_; }  // 0 without labels

  // Takes a full micro-batch into the arena: `batch` may change before it is trained on. Allocates
  // nothing, as do the functions below.
  void load(const Batch& batch, const Normalisation& normalisation) noexcept;
  // Forward, loss, backward on what was loaded and, unless more belong to this update, the update.
  // `part`: the number of the micro-batch in its batch. All of a batch have one `dropout_seed`.
  StepResult run(const LearningRates& rates, uint64_t dropout_seed, int64_t part) noexcept;
  // Both, for a batch that is one micro-batch.
  StepResult train_step(const Batch& batch, const Normalisation& normalisation,
                        const LearningRates& rates, uint64_t dropout_seed) noexcept;

  // The same network forward, on the same parameters and arena.
  Inference& inference() { return *inference_; }

  // Trained parameters, these with the running statistics that training moves, and optimizer state,
  // by name, where they are.
  const std::vector<Value>& trained() const { return trained_; }
  const std::vector<Value>& learnt() const { return learnt_; }
  const std::vector<Value>& state() const { return state_; }
  std::vector<Group> trained_groups() const;

  // Updates so far (the t of Adam) and micro-batches since the last one: part of a checkpoint.
  int64_t updates = 0;
  int pending_micro_batches = 0;

 private:
  void note_values(const Graph& graph);
  void run_nodes(int64_t part, bool apply) noexcept;
  void write_inputs(const LearningRates& rates, uint64_t dropout_seed, int64_t part) noexcept;
  int64_t count_correct() const noexcept;

  Loss loss_;
  int64_t micro_batches_;
  TrainingGraph training_;  // without its graph, which lives in step_
  std::optional<NetworkInput> input_;
  int64_t classes_ = 0;
  std::vector<Value> trained_, learnt_, state_;
  MemoryReport memory_;
  std::shared_ptr<Arena> arena_;
  std::shared_ptr<ThreadPool> threads_;
  std::unique_ptr<Executor> step_;
  StepTimes* times_ = nullptr;
  std::unique_ptr<Inference> inference_;
  std::optional<ValueId> dropout_seed_;
  int64_t dropout_elements_ = 0;  // of a micro-batch
  std::vector<int32_t> labels_;   // of what is loaded
};

}  // namespace tinytl

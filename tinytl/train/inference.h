// Running a network forward: scores of a batch, measures over a data set.
#pragma once

#include "autodiff/differentiate.h"
#include "engine/runtime/executor.h"
#include "engine/xnnpack/use_xnnpack.h"
#include "tinytl/train/network_input.h"

namespace tinytl {

struct Evaluation {
  int64_t count = 0, top1 = 0, top5 = 0;
  double loss_sum = 0;  // of the samples; cross-entropy without smoothing, or mean squared error
  std::vector<int64_t> class_count, class_top1;

  double loss() const { return count == 0 ? 0 : loss_sum / double(count); }
  double top1_fraction() const { return count == 0 ? 0 : double(top1) / double(count); }
  double top5_fraction() const { return count == 0 ? 0 : double(top5) / double(count); }
};

class Inference {
 public:
  // The program of `inference_program`. `arena` and `threads` as in Executor. Throws InputError
  // where the output is not one row a sample, or for classes no matrix. `xnnpack`, where given, is
  // told of the layers, which may move until the inference does.
  Inference(Program program, Loss::Kind loss, std::shared_ptr<Arena> arena = nullptr,
            XnnpackLayers* xnnpack = nullptr, std::shared_ptr<ThreadPool> threads = nullptr);

  const TensorType& input_type() const { return input_.type(); }
  const TensorType& output_type() const { return output_type_; }
  int64_t batch_size() const { return input_type().dim(0); }
  int64_t classes() const;  // 0 where the loss is not over classes

  // The first output of every sample, [batch size, ...] (class scores before any softmax); rows
  // from `batch.count` on mean nothing. Valid until the next step on the arena.
  std::span<const float> predict(const Batch& batch, const Normalisation& normalisation) noexcept;

  // All that is left of the loader's epoch.
  Evaluation evaluate(Loader& loader, const Normalisation& normalisation);

 private:
  void load(const Batch& batch, const Normalisation& normalisation) noexcept;
  std::span<const float> run() noexcept;
  void add_row(Evaluation& result, std::span<const float> scores, int32_t label) const;
  Loss::Kind loss_;
  NetworkInput input_;
  ValueId output_;
  TensorType output_type_;
  Executor executor_;
};

// The network compiled for inference. For classes, the output becomes the scores before the
// softmax.
Program inference_program(Graph network, Loss::Kind loss, const tt_kernels& kernels,
                          const ScheduleOptions& options = {});

// How a loader has to cut samples for a network with this input.
LoaderOptions loader_for(const TensorType& input, bool training);

}  // namespace tinytl

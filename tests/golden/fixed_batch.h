// A network on one batch that never changes: gradients and short trainings, to compare with
// PyTorch. Shared by the golden tests and bench/gradients_vs_torch.cc.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/kernels/kernels.h"
#include "optim/optimizer.h"
#include "tinytl/methods/update.h"

namespace tinytl {

struct FixedBatch {
  Graph model;
  std::vector<float> input;
  std::vector<int32_t> labels;  // cross-entropy; with mean squared error the target is the input
  Loss loss;
};

struct BatchGradients {
  std::vector<float> prediction;
  float loss = 0;
  std::map<std::string, std::vector<float>> gradients;  // by name of the parameter
};
// `saved_bits`: of the values kept for the backward pass, 32, 8 or 4 (save_in_ranges).
BatchGradients compute_gradients(const FixedBatch& batch, Update update, const tt_kernels& kernels,
                                 int saved_bits = 32);

// The loss before each of `steps` steps at one rate for all groups. The model keeps its parameters.
std::vector<float> train_losses(const FixedBatch& batch, Update update,
                                const OptimizerOptions& optimizer, float rate, int steps,
                                const tt_kernels& kernels);

// |got - want| / |want| in the 2-norm; where `want` is all zeros, |got|.
double relative_error(const std::vector<float>& got, const std::vector<double>& want);

}  // namespace tinytl

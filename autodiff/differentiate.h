// Reverse-mode automatic differentiation, once, before training: graph in, graph out.
#pragma once

#include "autodiff/update_scheme.h"

namespace tinytl {

struct Loss {
  enum class Kind : uint8_t { kSoftmaxCrossEntropy, kMeanSquaredError };
  Kind kind = Kind::kSoftmaxCrossEntropy;
  float label_smoothing = 0.0f;  // cross-entropy only, in [0, 1)
};

struct ParameterGradient {
  ValueId parameter;
  ValueId gradient;  // f32, of the same shape, or of that of `channels`
  Group group = Group::kBackbone;
  std::vector<int64_t> channels = {};  // as in TrainedParameter
};

// Forward pass, loss and pruned backward pass. All ids refer to `graph`.
struct GradientGraph {
  Graph graph;
  ValueId prediction;  // what the loss reads: logits, or the reconstruction
  ValueId target;      // input: i32[batch] labels, or f32 of the shape of the prediction
  ValueId loss;        // f32[1], the mean over the batch
  std::vector<ParameterGradient> gradients;  // in the order in which they are computed
};

// Appends the loss of the first output of `model`, and the nodes that compute the gradient of every
// parameter of `scheme`, and no others: below the first trained parameter there is no backward
// pass.
//
// A softmax at the end of the network is left out when the loss has its own. `prediction` and
// `loss` become the outputs. Gradients that meet are added as they arrive. Of a weight of which
// some channels train, the layers that read it compute that part alone, and keep those channels of
// what they read. O(nodes).
//
// Throws InputError that lists, by name, every node on the way that has no gradient rule; and where
// the scheme is empty, names a parameter that the output does not depend on, or the output does not
// suit the loss (check_output).
GradientGraph differentiate(const Graph& model, const Loss& loss, const UpdateScheme& scheme);

// The scores a cross-entropy loss reads: the first output, or what its final softmax reads.
ValueId class_scores(const Graph& graph);

// Throws InputError where `output` cannot be read by a loss of that kind: it needs a row for every
// sample of the first input, and for classes rank 2.
void check_output(const Graph& graph, ValueId output, Loss::Kind loss);

// Values of the forward pass that the backward pass reads: what training keeps and inference does
// not. Persistent values and inputs are not counted.
std::vector<ValueId> saved_values(const Graph& graph);

}  // namespace tinytl

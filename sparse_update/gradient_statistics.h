// A cheap estimate of what training a part of a network brings: its gradients on a few samples.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "autodiff/differentiate.h"
#include "engine/runtime/executor.h"
#include "sparse_update/contributions.h"
#include "sparse_update/layers.h"

namespace tinytl {

enum class Estimate : uint8_t {
  kFisher,    // sum of the squared gradients of single samples, by sample (Fisher information)
  kGradient,  // squared gradient of all samples together: the fall of the loss in a small step
};

// The network with the gradient of every parameter of its convolutions, one sample at a time, and
// updates of its classifier alone: a new one has to learn before gradients say anything.
class GradientStatistics {
 public:
  // `graph`: a forward graph for one sample. Parameters of `classifier` are changed. Throws what
  // differentiate throws.
  GradientStatistics(const Graph& graph, std::span<const ValueId> classifier, const Loss& loss);
  ~GradientStatistics();

  // To be written before each of the calls below.
  std::span<float> input() const;
  int32_t& label() const;

  // A step of the classifier (Adam, an update for eight samples).
  void train_classifier(float rate);
  // Adds the gradients of this sample.
  void measure();

  // Of the samples measured. Of a part of a weight, the sum over the channels that would train.
  //
  // Where its layer has a bias, which trains anyway, the gradient g of a weight counts without what
  // the mean x of the layer's input puts into it, g - x b with the gradient b of the bias: that
  // part is the gradient of the bias again. Behind a ReLU it is most of g, and the direction in
  // which the loss bends most, so that steps there do harm: a quarter of it counts against the
  // weight. A contribution may be negative.
  Contributions contributions(Estimate estimate) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tinytl
